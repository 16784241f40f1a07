import AuraFlowFamily
import Checkpoints
import ModelFiles
import TestSupport
import Testing

@Suite("Networks are found in names") struct NetworkLocatorTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Six names of a VAE's decoder.
  private static let decoder = ["conv_in", "conv_out", "norm_out"].flatMap {
    ["decoder.\($0).weight", "decoder.\($0).bias"]
  }
  /// Seven of a transformer.
  private static let transformer = (0..<7).map { "single_layers.\($0).attn.w1q.weight" }

  private func inspection(_ names: [String]) throws -> ModelInspection {
    let path = try folder.write(
      RawSafetensors.encode(names.map { .init($0, .f32, [1]) }), to: "names.safetensors")
    return try ModelInspection(path: path)
  }

  private func found(_ names: [String]) throws -> [String: String] {
    let parts = try inspection(names).parts.map { ($0.part.key, $0.prefix) }
    return Dictionary(parts, uniquingKeysWith: { $0 + " and " + $1 })
  }

  @Test("each of several networks under a prefix of its own")
  func several() throws {
    let names =
      Self.decoder.map { "first_stage_model." + $0 }
      + Self.transformer.map { "model.diffusion_model." + $0 }
    #expect(
      try found(names) == [
        "vae": "first_stage_model.", "transformer": "model.diffusion_model.",
      ])
    #expect(try found(Self.decoder + Self.transformer) == ["vae": "", "transformer": ""])
  }

  @Test("fewer names than six are chance")
  func fewest() throws {
    #expect(try found(Self.transformer + Self.decoder.prefix(5)).keys.sorted() == ["transformer"])
    #expect(try found(Self.transformer + Self.decoder).keys.sorted() == ["transformer", "vae"])
  }

  @Test("the prefix with most names counts, of as many the shortest, then the first by bytes")
  func prefixes() throws {
    func prefixed(_ prefix: String, _ count: Int = 6) -> [String] {
      Self.transformer.prefix(count).map { prefix + $0 }
    }
    #expect(try found(prefixed("ema.") + prefixed("m.", 7))["transformer"] == "m.")
    #expect(try found(prefixed("long.") + prefixed("m."))["transformer"] == "m.")
    #expect(try found(prefixed("b.") + prefixed("a."))["transformer"] == "a.")
  }

  @Test("names with numbers that no network has are no names of one")
  func numbers() throws {
    let strange = ["-1", "1.5", "+1", "١", "1e3", "99999999999999999999", "x"].map {
      "single_layers.\($0).attn.w1q.weight"
    }
    #expect(throws: ModelFileError.self) {
      _ = try PartSource(
        .transformer,
        path: try folder.write(
          RawSafetensors.encode(strange.map { .init($0, .f32, [1]) }), to: "strange.safetensors"))
    }
  }

  @Test("a tiny decoder is found only under prefixes that it has")
  func tinyDecoder() throws {
    // Names of numbers alone: a sequence of layers, as many other networks are.
    let names = (1..<20).flatMap { ["\($0).conv.0.weight", "\($0).conv.0.bias"] }
    let known = AuraFlow.autoencoder.networks[1]
    let prefix = try #require(known.prefixes?.first { !$0.isEmpty })
    #expect(try found(names.map { "unet." + $0 }).isEmpty)
    #expect(try found(names.map { prefix + $0 })["vae"] == prefix)
  }
}
