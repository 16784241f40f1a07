import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing
import TextToImage

/// A pipeline fixture with the adapters that the reference made for it.
struct AdapterFiles {
  typealias Tensor = SafetensorsWriter.FloatTensor

  /// `auraflow` or `flux`, as the fixtures call them.
  let family: String
  /// The pipeline's folder, in which tests write their files.
  let folder: TemporaryFolder

  init(_ family: String) throws {
    self.family = family
    folder =
      family == "flux"
      ? try SeededWeights.pipelineFolder("dev", in: "flux-pipelines")
      : try SeededWeights.pipelineFolder("square")
  }

  /// What the reference was asked for.
  func request() throws -> GenerationRequest {
    guard family == "flux" else { return try GoldenRequest("square").request }
    let row = try #require(try FluxRequest.all(["dev"]).first { $0.name == "square" })
    return try row.request(try Golden(row.goldenPath))
  }

  /// Tensors and metadata of an adapter.
  func adapter(_ name: String) throws -> (tensors: [Tensor], metadata: [(String, String)]) {
    let json = try Fixtures.json("adapters/\(family)/\(name).json")
    let metadata = (json["metadata"]?.members ?? []).map { ($0.key, $0.value.stringValue ?? "") }
    return (try SeededWeights.tensors(json), metadata)
  }

  /// Writes an adapter and returns its path.
  func write(
    _ tensors: [Tensor], metadata: [(String, String)] = [], to name: String
  ) throws -> String {
    try folder.write(
      SafetensorsWriter.encode(tensors, metadata: metadata.map { (key: $0.0, value: $0.1) }),
      to: name)
  }

  /// Writes one of the reference's adapters and returns its path.
  func path(_ name: String) throws -> String {
    let (tensors, metadata) = try adapter(name)
    return try write(tensors, metadata: metadata, to: "\(name).safetensors")
  }

  /// The model with adapters.
  func paths(_ adapters: [AdapterPath]) -> ModelPaths {
    var paths = ModelPaths(model: folder.path)
    paths.adapters = adapters
    return paths
  }

  /// Final latents with adapters.
  func latents(
    _ adapters: [AdapterPath], threads: Int? = nil
  ) async throws -> [Float] {
    let pipeline = try Pipeline(paths(adapters), threadCount: threads)
    return try await pipeline.generate(try request()).latents
  }
}
