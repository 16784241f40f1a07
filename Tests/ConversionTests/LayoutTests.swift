import BlockFormats
import Checkpoints
import Conversion
import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing
import TextToImage

/// The same model in every layout in which people have it becomes the same file.
@Suite("Layouts of converted models")
struct LayoutTests {
  private let fixture: ConversionFixture
  private let folder: TemporaryFolder

  init() throws {
    fixture = try ConversionFixture()
    folder = try SeededWeights.pipelineFolder("quantizable")
  }

  private var hints: ArchitectureHints {
    var hints = ArchitectureHints()
    (hints.headDimension, hints.normGroups, hints.scalingFactor) = (16, 4, 0.4)
    hints.relativeMaxDistance = 128
    return hints
  }

  private func convert(
    _ paths: ModelPaths, _ part: PartSelection, _ type: String, to name: String,
    container: ConversionPlan.Container = .gguf
  ) throws -> [String: ConversionFixture.StoredContent] {
    try fixture.convert(
      paths, to: name, try ConversionFixture.request(type, container: container), part: part,
      hints: hints)
    return try fixture.contents(name)
  }

  @Test("names, prefixes, shards and orders of halves do not matter", arguments: ["f32", "f16"])
  func inputs(_ type: String) throws {
    let single = ModelPaths(
      model: Fixtures.path("checkpoints/single_file_original.safetensors"),
      tokenizer: folder.path("tokenizer"))
    let whole = try convert(ModelPaths(folder.path), .all, type, to: "folder.gguf")
    #expect(try convert(single, .all, type, to: "single.gguf") == whole)
    let transformer = whole.filter {
      !$0.key.hasPrefix("vae.") && !$0.key.hasPrefix("enc.") && !$0.key.hasPrefix("token_embd")
    }
    let sharded = ModelPaths(Fixtures.path("checkpoints/transformer_sharded"))
    #expect(try convert(sharded, .transformer, type, to: "shards.gguf") == transformer)
    let decoder = try convert(
      ModelPaths(Fixtures.path("checkpoints/vae_ldm.safetensors")), .autoencoder, type,
      to: "vae.gguf")
    for (name, content) in decoder { #expect(whole["vae." + name] == content, "\(name)") }
    #expect(decoder.count == whole.keys.count { $0.hasPrefix("vae.") })
  }

  @Test("GGUF inputs of the common converters become what the folder becomes")
  func otherConverters() throws {
    let whole = try convert(ModelPaths(folder.path), .all, "f16", to: "folder.gguf")
    for (file, part) in [
      ("transformer_F16", PartSelection.transformer), ("text_encoder_llamacpp_F16", .textEncoder),
    ] {
      let contents = try convert(
        ModelPaths(Fixtures.path("checkpoints/\(file).gguf")), part, "f16", to: "\(file).gguf")
      #expect(!contents.isEmpty)
      for (name, content) in contents {
        // Small vectors and biases by position were rounded to F16 before.
        if name.contains("attn_rel_b") {
          #expect(whole[name]?.type == content.type)
        } else {
          #expect(whole[name] == content, "\(name)")
        }
      }
    }
  }

  @Test("safetensors files have ComfyUI's prefixes for whole models, and open again")
  func safetensors() throws {
    let whole = try convert(
      ModelPaths(folder.path), .all, "f32", to: "out.safetensors", container: .safetensors)
    let published = try TensorArchive(
      path: Fixtures.path("checkpoints/single_file_original.safetensors"))
    // Nobody uses the last one.
    let names = published.tensors.records.map(\.name)
    #expect(Set(names).subtracting(whole.keys) == ["text_encoders.pile_t5xl.logit_scale"])
    #expect(whole.count == names.count - 1)
    for (index, record) in published.tensors.records.enumerated()
    where !record.name.hasSuffix("logit_scale") {
      let content = try #require(whole[record.name])
      #expect(content.shape == record.shape, "\(record.name)")
      #expect(try content.bytes == published.copy(of: index), "\(record.name)")
    }
    let parts = try convert(
      ModelPaths(folder.path), .textEncoder, "bf16", to: "te.safetensors", container: .safetensors)
    #expect(parts["shared.weight"]?.type == .bf16)
    #expect(parts["encoder.block.1.layer.1.DenseReluDense.wo.weight"] != nil)
    let error = #expect(throws: ConversionError.self) {
      _ = try fixture.plan(
        ModelPaths(folder.path), try ConversionFixture.request("q8_0", container: .safetensors))
    }
    #expect(error?.description.contains(".gguf") == true)
  }

  @Test("files say what loaders ask for")
  func metadata() throws {
    _ = try convert(ModelPaths(folder.path), .transformer, "q8_0", to: "t.gguf")
    let transformer = try fixture.archive("t.gguf")
    #expect(transformer.gguf?.value(for: "general.architecture")?.string == "aura")
    #expect(transformer.gguf?.value(for: "general.file_type")?.integer == 7)
    #expect(transformer.gguf?.value(for: "general.quantization_version")?.integer == 2)
    #expect(transformer.tensors.records.allSatisfy { !$0.name.hasPrefix("model.") })
    for (name, shape) in [("positional_encoding", [1, 100, 32]), ("register_tokens", [1, 8, 32])] {
      let index = try #require(transformer.tensors.index(of: name))
      #expect(transformer.tensors.records[index].shape == shape)
    }
    _ = try convert(ModelPaths(folder.path), .textEncoder, "q8_0", to: "te.gguf")
    let ours = try #require(try fixture.archive("te.gguf").gguf)
    let theirs = try #require(
      try TensorArchive(path: Fixtures.path("checkpoints/text_encoder_llamacpp_Q8_0.gguf")).gguf)
    // Every key that llama.cpp's converter writes is there with the same value.
    for (key, value) in theirs.metadata where key != "general.name" {
      let other = try #require(ours.value(for: key), "\(key)")
      #expect(other.type == value.type && other.elementType == value.elementType, "\(key)")
      if let elements = value.elements() {
        let mine = try #require(other.elements())
        // The scores of merged pieces are ranks here, any order will do.
        if !key.hasSuffix(".scores") {
          #expect(mine.map(\.string) == elements.map(\.string), "\(key)")
          #expect(mine.map(\.integer) == elements.map(\.integer), "\(key)")
        }
      } else {
        #expect(other.string == value.string && other.double == value.double, "\(key)")
        #expect(other.bool == value.bool, "\(key)")
      }
    }
  }

  @Test(
    "a folder's pictures and those of its F32 file are the same numbers",
    arguments: [
      "square", "wide-negative", "unicode-two-images", "legacy-tokenizer", "quantizable",
    ])
  func pictures(_ name: String) async throws {
    let folder = try SeededWeights.pipelineFolder(name)
    try fixture.convert(
      ModelPaths(folder.path), to: "all.gguf", try ConversionFixture.request("f32"))
    var request = GenerationRequest(prompt: "A \u{1F600} caf\u{e9},  two   spaces <s> x")
    (request.width, request.height, request.steps) = (64, 64, 1)
    let one = try Pipeline(path: folder.path)
    let other = try Pipeline(path: fixture.folder.path("all.gguf"))
    (request.width, request.height) = (one.defaults.width, one.defaults.height)
    let (left, right) = (try await one.generate(request), try await other.generate(request))
    #expect(left.latents == right.latents)
    #expect(left.images.map(\.pixels) == right.images.map(\.pixels))
    #expect(left.settings.shift == right.settings.shift)
  }
}
