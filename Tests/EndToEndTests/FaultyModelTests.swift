import Foundation
import ModelFiles
import TestSupport
import Testing
import TextToImage

/// Every tensor of a small model dropped, reshaped and retyped in turn.
@Suite("Faulty models are refused by name")
struct FaultyModelTests {
  static let parts = ["transformer", "text_encoder", "vae"]

  private func fileName(_ part: String) -> String {
    part == "text_encoder" ? "model.safetensors" : "diffusion_pytorch_model.safetensors"
  }

  @Test("each tensor", arguments: parts, TensorFault.allCases)
  func eachTensor(part: String, fault: TensorFault) throws {
    let folder = try SeededWeights.pipelineFolder("quantizable")
    let tensors = try SeededWeights.tensors(
      try Fixtures.json("pipelines/quantizable/\(part)/weights.json"))
    var checked = 0
    for (index, tensor) in tensors.enumerated() where fault.spoils(tensor) {
      try folder.write(fault.encode(tensors, damaging: index), to: "\(part)/\(fileName(part))")
      let error = #expect(throws: ModelFileError.self, "\(tensor.name) \(fault)") {
        _ = try Pipeline(path: folder.path)
      }
      let text = error?.description ?? ""
      #expect(text.contains("'\(tensor.name)'"), "\(tensor.name) \(fault): \(text)")
      #expect(!text.contains("\n"))
      checked += 1
    }
    #expect(checked > 10)
  }

  /// Models of one and two text encoder layers, and one without the VAE's optional layers.
  static let unconfigured = ["quantizable", "one-step", "unicode-two-images"]

  @Test(
    "each tensor of files without configurations, with what was expected and found",
    arguments: unconfigured, TensorFault.allCases)
  func withoutConfigurations(model: String, fault: TensorFault) throws {
    let folder = try SeededWeights.pipelineFolder(model)
    let hints = try SeededWeights.hints(model)
    for part in Self.parts {
      try FileManager.default.removeItem(atPath: folder.path("\(part)/config.json"))
    }
    for part in Self.parts {
      let tensors = try SeededWeights.tensors(
        try Fixtures.json("pipelines/\(model)/\(part)/weights.json"))
      let path = "\(part)/\(fileName(part))"
      for (index, tensor) in tensors.enumerated() where fault.spoils(tensor) {
        try folder.write(fault.encode(tensors, damaging: index), to: path)
        let error = #expect(throws: ModelFileError.self, "\(tensor.name) \(fault)") {
          _ = try Pipeline(ModelPaths(model: folder.path), hints: hints)
        }
        let text = error?.description ?? ""
        let found = fault.shape(of: tensor).map { "shape \($0)" } ?? "tensor"
        #expect(
          text.contains("'\(tensor.name)'") && text.contains("expected") && text.contains(path)
            && text.contains(found), "\(tensor.name) \(tensor.shape) \(fault): \(text)")
      }
      try folder.write(SafetensorsWriter.encode(tensors), to: path)
    }
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

  @Test("a tensor that only a shard names, not the index, counts like any other")
  func extraTensorOfShard() throws {
    let folder = try SeededWeights.pipelineFolder("quantizable")
    let tensors = try SeededWeights.tensors(
      try Fixtures.json("pipelines/quantizable/vae/weights.json"))
    let map = tensors.map { "\"\($0.name)\": \"1.safetensors\"" }.joined(separator: ",")
    let extra = SafetensorsWriter.FloatTensor(name: "surprise.weight", shape: [1], values: [1])
    try folder.write(SafetensorsWriter.encode(tensors + [extra]), to: "vae/1.safetensors")
    try folder.write(
      Array("{\"weight_map\": {\(map)}}".utf8),
      to: "vae/diffusion_pytorch_model.safetensors.index.json")
    let error = #expect(throws: ModelFileError.self) { _ = try Pipeline(path: folder.path) }
    #expect(error?.description.contains("'surprise.weight'") == true)
    var hints = ArchitectureHints()
    hints.allowsExtraTensors = true
    _ = try Pipeline(ModelPaths(model: folder.path), hints: hints)
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
