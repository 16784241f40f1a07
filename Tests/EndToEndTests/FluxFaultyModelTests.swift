import Foundation
import ModelFiles
import TestSupport
import Testing
import TextToImage

/// Every tensor of a small FLUX.1 model dropped, reshaped and retyped in turn.
@Suite("Faulty FLUX.1 models are refused by name")
struct FluxFaultyModelTests {
  /// Gives each tensor of a part in turn a fault that opening the model must tell.
  private func eachTensor(
    _ tensors: [FluxFiles.Tensor], _ fault: TensorFault, in folder: TemporaryFolder, file: String,
    isIdle: (String) -> Bool, open: () throws -> Pipeline
  ) throws {
    var checked = 0
    for (index, tensor) in tensors.enumerated()
    where fault.spoils(tensor) && !isIdle(tensor.name) {
      try folder.write(fault.encode(tensors, damaging: index), to: file)
      let error = #expect(throws: ModelFileError.self, "\(tensor.name) \(fault)") {
        _ = try open()
      }
      let text = error?.description ?? ""
      let found = fault.shape(of: tensor).map { "shape \($0)" } ?? "tensor"
      #expect(
        text.contains("'\(tensor.name)'") && text.contains("expected") && text.contains(found)
          && text.contains(file), "\(tensor.name) \(tensor.shape) \(fault): \(text)")
      #expect(!text.contains("\n"))
      checked += 1
    }
    #expect(checked > 5)
  }

  @Test("each tensor of a folder", arguments: FluxFiles.parts, TensorFault.allCases)
  func folders(_ part: String, _ fault: TensorFault) throws {
    let files = try FluxFiles("quantizable")
    let stem = part.hasPrefix("text") ? "model" : "diffusion_pytorch_model"
    try eachTensor(
      try files.inFolder(part), fault, in: files.folder, file: "\(part)/\(stem).safetensors",
      isIdle: { _ in false }
    ) { try Pipeline(path: files.folder.path) }
  }

  /// The options of parts.
  static let options = [
    "transformer": "transformer", "text_encoder_2": "t5xxl", "text_encoder": "clip-l", "vae": "vae",
  ]

  /// Tables whose numbers of rows nothing else tells: vocabularies that are larger than the
  /// tokenizer's, and positions, of which some fine-tunes have more.
  static let freeTables = [
    "shared.weight", "position_embedding.weight", "relative_attention_bias.weight",
  ]

  @Test(
    "each tensor of files without configurations", arguments: FluxFiles.parts,
    [TensorFault.dropped, .folded, .shortened])
  func files(_ part: String, _ fault: TensorFault) throws {
    let files = try FluxFiles("real-heads")
    var paths = try files.writeLoose(in: "loose")
    let option = try #require(Self.options[part])
    paths.parts[option] = files.folder.path("damaged.safetensors")
    try eachTensor(
      try files.outside(part), fault, in: files.folder, file: "damaged.safetensors",
      isIdle: { name in
        part == "vae" && name.hasPrefix("encoder.")
          || fault != .dropped && Self.freeTables.contains(where: name.hasSuffix)
      }
    ) { try Pipeline(paths) }
  }

  @Test("files that end early", arguments: FluxFiles.parts)
  func truncated(_ part: String) throws {
    let files = try FluxFiles("real-heads")
    let stem = part.hasPrefix("text") ? "model" : "diffusion_pytorch_model"
    let path = files.folder.url.appendingPathComponent("\(part)/\(stem).safetensors")
    let whole = try Data(contentsOf: path)
    for count in [4, 100, whole.count / 2, whole.count - 1] {
      try whole.prefix(count).write(to: path)
      let error = #expect(throws: ModelFileError.self) {
        _ = try Pipeline(path: files.folder.path)
      }
      #expect(error?.path == path.path && error?.kind == .malformed, "\(count)")
    }
  }
}
