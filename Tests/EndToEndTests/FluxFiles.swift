import BlockFormats
import Foundation
import Images
import ModelFiles
import TestSupport
import Testing
import TextToImage

/// A FLUX.1 pipeline fixture as the files that people have.
struct FluxFiles {
  typealias Tensor = SafetensorsWriter.FloatTensor

  /// The four parts, as diffusers calls them.
  static let parts = ["transformer", "text_encoder_2", "text_encoder", "vae"]

  /// The fixture's name.
  let model: String
  /// The pipeline's folder, in which tests write their files.
  let folder: TemporaryFolder
  /// The first of its requests.
  let row: FluxRequest
  let golden: Golden

  init(_ model: String) throws {
    self.model = model
    folder = try SeededWeights.pipelineFolder(model, in: "flux-pipelines")
    row = try #require(try FluxRequest.all([model]).first)
    golden = try Golden(row.goldenPath)
  }

  /// A part's tensors under the names of its folder.
  func inFolder(_ part: String) throws -> [Tensor] {
    try SeededWeights.tensors(try Fixtures.json("flux-pipelines/\(model)/\(part)/weights.json"))
  }

  /// A part's tensors under the names of files outside of folders: Black Forest Labs' transformer,
  /// LDM's autoencoder, Hugging Face's text encoders.
  func outside(_ part: String) throws -> [Tensor] {
    let layout = "flux-checkpoints/\(model)/\(part).json"
    return Fixtures.exists(layout)
      ? try SeededWeights.tensors(try Fixtures.json(layout)) : try inFolder(part)
  }

  /// Writes a safetensors file into the folder and returns its path.
  func write(_ tensors: [Tensor], to name: String) throws -> String {
    try folder.write(SafetensorsWriter.encode(tensors), to: name)
  }

  /// Writes all parts as files of their own, as their publishers name them.
  func writeLoose(in subfolder: String) throws -> ModelPaths {
    func path(_ part: String, _ name: String) throws -> String {
      try write(try outside(part), to: "\(subfolder)/\(name).safetensors")
    }
    return ModelPaths(
      transformer: try path("transformer", "flux1-dev"),
      t5xxl: try path("text_encoder_2", "t5xxl_fp16"), clipL: try path("text_encoder", "clip_l"),
      autoencoder: try path("vae", "ae"), tokenizer: folder.path("tokenizer_2"),
      clipTokenizer: folder.path("tokenizer"))
  }

  /// Latents of the first request.
  func result(_ paths: ModelPaths) async throws -> GenerationResult {
    try await Pipeline(paths).generate(try row.request(golden))
  }

  /// Checks that a model draws what the reference draws.
  func expectGolden(_ paths: ModelPaths) async throws {
    let result = try await result(paths)
    #expect(
      relativeError(result.latents, try golden.floats("latents_unpacked")) < Tolerance.latents)
    let file = Fixtures.folder.appendingPathComponent(
      "flux-pipelines/\(model)/golden/\(row.name)-0.png")
    try expectEqual(result.images[0], try RGBImage(pngData: [UInt8](Data(contentsOf: file))))
  }
}

extension FluxFiles.Tensor {
  /// The same under another name.
  func renamed(_ name: String) -> Self { .init(name: name, shape: shape, values: values) }
}

extension GGUFWriter {
  /// Writes a file of matrices in 16 bits and other tensors in 32, as tools do.
  static func writeHalves(
    _ tensors: [FluxFiles.Tensor], texts: [(key: String, text: String)], to path: String
  ) throws {
    func isMatrix(_ tensor: FluxFiles.Tensor) -> Bool { tensor.shape.count > 1 }
    let layout = try Self.layout(
      metadata: texts.map { ($0.key, .string($0.text)) },
      tensors: tensors.map {
        TensorDeclaration(name: $0.name, type: isMatrix($0) ? .f16 : .f32, shape: $0.shape)
      }, path: path)
    let writer = try TensorFileWriter(path: path, overwrite: false, layout: layout)
    for tensor in tensors {
      let bytes = isMatrix(tensor) ? tensor.halves : tensor.values.withUnsafeBytes { Array($0) }
      try bytes.withUnsafeBytes { try writer.write($0) }
    }
    try writer.finish()
  }
}

extension FluxFiles.Tensor {
  /// The values in 16 bits.
  var halves: [UInt8] {
    values.map { Float16($0).bitPattern }.withUnsafeBytes { Array($0) }
  }
}
