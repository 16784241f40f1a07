import Foundation
import ModelFiles
import TestSupport
import Testing
import TextToImage

/// Parts of FLUX.1 under all the names that tools give them.
@Suite("Parts of FLUX.1 as people have them")
struct FluxPartTests {
  private let files: FluxFiles
  private var folder: TemporaryFolder { files.folder }

  init() throws { files = try FluxFiles("real-heads") }

  /// A spelling of CLIP-L's names.
  struct Spelling: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let prefix: String
    var isBare = false
    /// Names of tensors of no use; what begins with a dot stands behind `prefix`.
    var others: [String] = []

    init(_ name: String, _ prefix: String = "", isBare: Bool = false, _ others: String...) {
      (testDescription, self.prefix, self.isBare, self.others) = (name, prefix, isBare, others)
    }
  }

  static let spellings = [
    Spelling("Hugging Face"), Spelling("transformers 5", isBare: true),
    Spelling(
      "with its projection", "", ".text_projection.weight", "logit_scale",
      ".text_model.embeddings.position_ids"),
    Spelling(
      "transformers 5 with its projection", "", isBare: true, ".text_projection.weight",
      "logit_scale", ".embeddings.position_ids"),
    Spelling(
      "the whole CLIP", "", ".text_projection.weight", "logit_scale", ".visual_projection.weight",
      ".vision_model.embeddings.class_embedding",
      ".vision_model.encoder.layers.0.self_attn.q_proj.weight"),
    Spelling(
      "ComfyUI", "text_encoders.clip_l.transformer.", ".text_projection.weight",
      "text_encoders.clip_l.logit_scale"),
    Spelling(
      "Stable Diffusion 1", "cond_stage_model.transformer.", ".text_model.embeddings.position_ids"),
    Spelling("Stable Diffusion XL", "conditioner.embedders.0.transformer."),
    Spelling("stable-diffusion.cpp", "te.", ".text_model.embeddings.position_ids"),
    Spelling("OpenAI's projection", "", ".text_projection"),
  ]

  private func clip(_ spelling: Spelling) throws -> [FluxFiles.Tensor] {
    try files.outside("text_encoder").map { tensor in
      let name = spelling.isBare ? tensor.name.replacing("text_model.", with: "") : tensor.name
      return tensor.renamed(spelling.prefix + name)
    }
      + spelling.others.map { name in
        .init(
          name: name.hasPrefix(".") ? spelling.prefix + name.dropFirst() : name, shape: [2, 2],
          values: [1, 0, 0, 1])
      }
  }

  @Test("CLIP-L under the names of any tool", arguments: spellings)
  func spelling(_ spelling: Spelling) async throws {
    let path = try files.write(try clip(spelling), to: "clip_l.safetensors")
    try await files.expectGolden(ModelPaths(model: folder.path, clipL: path))
  }

  @Test("CLIP-L in GGUF", arguments: ["", "te."])
  func gguf(_ prefix: String) async throws {
    let path = folder.path("clip_l.gguf")
    try GGUFWriter.writeHalves(
      try clip(Spelling("GGUF", prefix, ".text_projection.weight")),
      texts: prefix.isEmpty ? [("general.architecture", "clip")] : [], to: path)
    let result = try await files.result(ModelPaths(model: folder.path, clipL: path))
    // Weights with a relative error of 2^-11.
    #expect(relativeError(result.latents, try files.golden.floats("latents_unpacked")) < 2e-3)
  }

  @Test("dev without the embedding of guidance, as in merges with schnell, is like schnell")
  func withoutGuidance() async throws {
    let tensors = try files.outside("transformer").filter { !$0.name.hasPrefix("guidance_in") }
    let path = try files.write(tensors, to: "merge.safetensors")
    let pipeline = try Pipeline(ModelPaths(model: folder.path, transformer: path))
    #expect(pipeline.defaults.guidance == nil && pipeline.defaults.steps == 4)
    var request = try files.row.request(files.golden)
    let error = await #expect(throws: GenerationError.self) {
      _ = try await pipeline.generate(request)
    }
    #expect(error?.description.contains("--guidance-scale") == true)
    request.guidance = nil
    #expect(try await pipeline.generate(request).images.count == 1)
  }

  @Test("the same in a folder whose configuration is still dev's")
  func mergedFolder() throws {
    _ = try files.write(
      try files.inFolder("transformer").filter { !$0.name.contains("guidance_embedder") },
      to: "transformer/diffusion_pytorch_model.safetensors")
    let pipeline = try Pipeline(path: files.folder.path)
    #expect(pipeline.defaults.guidance == nil && pipeline.defaults.steps == 4)
  }
}
