import BlockFormats
import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing
import TextToImage

/// Every tensor of a small model dropped, reshaped and retyped in turn.
@Suite("Faulty models are refused by name")
struct FaultyModelTests {
  enum Fault: String, CaseIterable { case dropped, reshaped, shortened, retyped }

  static let parts = ["transformer", "text_encoder", "vae"]

  private func fileName(_ part: String) -> String {
    part == "text_encoder" ? "model.safetensors" : "diffusion_pytorch_model.safetensors"
  }

  /// safetensors bytes of raw tensors.
  private func encode(
    _ tensors: [(name: String, type: String, shape: [Int], bytes: [UInt8])]
  ) -> [UInt8] {
    var members: [String] = []
    var data: [UInt8] = []
    for tensor in tensors {
      let end = data.count + tensor.bytes.count
      members.append(
        "\(JSONText.quoted(tensor.name)):{\"dtype\":\"\(tensor.type)\",\"shape\":\(tensor.shape),"
          + "\"data_offsets\":[\(data.count),\(end)]}")
      data += tensor.bytes
    }
    let header = Array("{\(members.joined(separator: ","))}".utf8)
    return withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header + data
  }

  private func damaged(
    _ tensors: [SafetensorsWriter.FloatTensor], at index: Int, _ fault: Fault
  ) -> [UInt8] {
    var entries = tensors.map { tensor in
      (
        name: tensor.name, type: "F32", shape: tensor.shape,
        bytes: tensor.values.withUnsafeBytes { Array($0) }
      )
    }
    let shape = entries[index].shape
    switch fault {
    case .dropped: entries.remove(at: index)
    case .reshaped: entries[index].shape = [entries[index].bytes.count / 4, 1, 1, 1, 1]
    case .shortened:
      // One slice less in the first dimension that has more than one.
      let dimension = shape.firstIndex { $0 > 1 } ?? 0
      let kept = entries[index].bytes.count / shape[dimension] * (shape[dimension] - 1)
      entries[index].shape[dimension] -= 1
      entries[index].bytes = Array(entries[index].bytes.prefix(kept))
    case .retyped: entries[index].type = "I32"
    }
    return encode(entries)
  }

  /// Whether a tensor belongs to the VAE's encoder, which is not used to generate.
  private func isUnused(_ name: String) -> Bool {
    ["encoder.down_blocks", "encoder.conv", "encoder.mid_block", "quant_conv"].contains {
      name.hasPrefix($0)
    }
  }

  @Test("each tensor", arguments: parts, Fault.allCases)
  func eachTensor(part: String, fault: Fault) throws {
    let folder = try SeededWeights.pipelineFolder("quantizable")
    let tensors = try SeededWeights.tensors(
      try Fixtures.json("pipelines/quantizable/\(part)/weights.json"))
    var checked = 0
    for (index, tensor) in tensors.enumerated() where !isUnused(tensor.name) {
      try folder.write(damaged(tensors, at: index, fault), to: "\(part)/\(fileName(part))")
      let error = #expect(throws: ModelFileError.self, "\(tensor.name) \(fault)") {
        _ = try Pipeline(path: folder.path)
      }
      let text = error?.description ?? ""
      #expect(text.contains("'\(tensor.name)'"), "\(tensor.name) \(fault): \(text)")
      #expect(!text.contains("\n"))
      checked += 1
    }
    #expect(checked > 20)
  }

  @Test("a tensor of no part is named", arguments: parts)
  func extraTensor(part: String) throws {
    let folder = try SeededWeights.pipelineFolder("quantizable")
    var tensors = try SeededWeights.tensors(
      try Fixtures.json("pipelines/quantizable/\(part)/weights.json"))
    tensors.append(.init(name: "surprise.weight", shape: [2], values: [1, 2]))
    try folder.write(SafetensorsWriter.encode(tensors), to: "\(part)/\(fileName(part))")
    let error = #expect(throws: ModelFileError.self) { _ = try Pipeline(path: folder.path) }
    #expect(error?.description.contains("'surprise.weight'") == true)
    var hints = ArchitectureHints()
    hints.allowsExtraTensors = true
    #expect(throws: Never.self) {
      _ = try Pipeline(ModelPaths(model: folder.path), hints: hints)
    }
  }

  @Test("NaN weights end in an error that names the step, not in a black picture")
  func notANumber() async throws {
    let folder = try SeededWeights.pipelineFolder("quantizable")
    let tensors = try SeededWeights.tensors(
      try Fixtures.json("pipelines/quantizable/transformer/weights.json")
    ).map { tensor in
      tensor.name == "proj_out.weight"
        ? .init(
          name: tensor.name, shape: tensor.shape, values: [.nan] + tensor.values.dropFirst())
        : tensor
    }
    try folder.write(
      SafetensorsWriter.encode(tensors), to: "transformer/\(fileName("transformer"))")
    let pipeline = try Pipeline(path: folder.path)
    let error = await #expect(throws: GenerationError.self) {
      _ = try await pipeline.generate(try GoldenRequest("quantizable").request)
    }
    #expect(error?.description.contains("step 1 of") == true)
  }
}
