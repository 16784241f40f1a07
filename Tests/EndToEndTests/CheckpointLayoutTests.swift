import Foundation
import TestSupport
import Testing
import TextToImage

/// The same model in every layout in which people have it.
@Suite("Checkpoint layouts")
struct CheckpointLayoutTests {
  private let folder: TemporaryFolder
  private let request: GenerationRequest

  init() throws {
    folder = try SeededWeights.pipelineFolder("quantizable")
    request = try GoldenRequest("quantizable").request
  }

  private func latents(_ paths: ModelPaths) async throws -> [Float] {
    let pipeline = try Pipeline(paths, hints: try SeededWeights.hints("quantizable"))
    var request = request
    // The schedule's shift lies in the scheduler's configuration, which files do not carry.
    request.shift = try Fixtures.json(
      "pipelines/quantizable/scheduler/scheduler_config.json")["shift"]?.doubleValue
    return try await pipeline.generate(request).latents
  }

  private func expectGolden(
    _ paths: ModelPaths, _ tensor: String? = nil, tolerance: Float = Tolerance.latents
  ) async throws {
    let golden = try tensor.map { name in
      try Golden("checkpoints/expected.safetensors").floats(name)
    }
    let reference = try Golden("pipelines/quantizable/golden.safetensors").floats("latents")
    #expect(relativeError(try await latents(paths), golden ?? reference) < tolerance)
  }

  @Test("the files of a model are all on which its pictures depend")
  func files() throws {
    let pipeline = try Pipeline(
      ModelPaths(model: folder.path), hints: try SeededWeights.hints("quantizable"))
    for name in [
      "model_index.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer.json",
      "tokenizer/tokenizer_config.json", "transformer/config.json", "text_encoder/config.json",
      "vae/config.json",
    ] {
      #expect(pipeline.files.contains { $0.hasSuffix("/" + name) }, "\(name)")
    }
    #expect(Set(pipeline.files).count == pipeline.files.count)
  }

  @Test("a single file with the original names and ComfyUI's prefixes")
  func singleFile() async throws {
    try await expectGolden(
      ModelPaths(
        model: Fixtures.path("checkpoints/single_file_original.safetensors"),
        tokenizer: folder.path("tokenizer")))
  }

  @Test("a transformer in shards behind an index")
  func shards() async throws {
    try await expectGolden(
      ModelPaths(
        model: folder.path, transformer: Fixtures.path("checkpoints/transformer_sharded")))
  }

  @Test("a VAE under the LDM names without prefix")
  func separateAutoencoder() async throws {
    try await expectGolden(
      ModelPaths(
        model: folder.path, autoencoder: Fixtures.path("checkpoints/vae_ldm.safetensors")))
  }

  @Test("GGUF transformers as the common converter writes them", arguments: ["F16", "Q8_0"])
  func transformerGGUF(type: String) async throws {
    try await expectGolden(
      ModelPaths(
        model: folder.path, transformer: Fixtures.path("checkpoints/transformer_\(type).gguf")),
      "transformer_\(type)",
      tolerance: type == "F16" ? Tolerance.latents : Tolerance.roundedActivations)
  }

  @Test("GGUF text encoders under llama.cpp's names", arguments: ["F16", "Q8_0"])
  func textEncoderGGUF(type: String) async throws {
    try await expectGolden(
      ModelPaths(
        model: folder.path,
        textEncoder: Fixtures.path("checkpoints/text_encoder_llamacpp_\(type).gguf")),
      "text_encoder_\(type)",
      tolerance: type == "F16" ? Tolerance.latents : Tolerance.roundedActivations)
  }

  @Test("separate files only, with the tokenizer from the text encoder's metadata")
  func separateFiles() async throws {
    try await expectGolden(
      ModelPaths(
        transformer: Fixtures.path("checkpoints/transformer_Q8_0.gguf"),
        textEncoder: Fixtures.path("checkpoints/text_encoder_llamacpp_Q8_0.gguf"),
        autoencoder: Fixtures.path("checkpoints/vae_ldm.safetensors")),
      "both_Q8_0", tolerance: Tolerance.roundedActivations)
  }

  /// The parts of the folder by themselves.
  private var partPaths: ModelPaths {
    ModelPaths(
      transformer: folder.path("transformer"), textEncoder: folder.path("text_encoder"),
      autoencoder: folder.path("vae"))
  }

  @Test("beside separate files for all parts the model gives what they lack, the tokenizer")
  func modelBesideParts() async throws {
    var paths = partPaths
    paths.model = Fixtures.path("checkpoints/text_encoder_llamacpp_F16.gguf")
    try await expectGolden(paths)
  }

  @Test("a faulty default is blamed on the file that has it")
  func faultyDefault() throws {
    var paths = partPaths
    paths.tokenizer = folder.path("tokenizer")
    paths.model = try folder.write(
      MinimalGGUF(integers: [("aura.default.steps", 0)]).bytes, to: "defaults.gguf")
    let error = #expect(throws: ModelFileError.self) { _ = try Pipeline(paths) }
    #expect(error?.path == paths.model && error?.fault.contains("aura.default.steps") == true)
  }

  @Test("a flag that contradicts the model's configuration is refused")
  func contradiction() throws {
    var hints = ArchitectureHints()
    hints.headDimension = 8192
    let error = #expect(throws: ModelFileError.self) {
      _ = try Pipeline(ModelPaths(model: folder.path), hints: hints)
    }
    #expect(error?.description.contains("contradicts") == true)
  }
}
