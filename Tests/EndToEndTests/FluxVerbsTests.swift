import BlockFormats
import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing

/// Every verb but `generate` with a small FLUX.1 model of random weights.
@Suite("Verbs with FLUX.1")
struct FluxVerbsTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try succeed("synthesize", "--preset", "tiny-flux", "--type", "f16", "in.gguf")
  }

  @discardableResult
  private func succeed(_ arguments: String...) throws -> CommandLine.Outcome {
    let outcome = try CommandLine.run(arguments, in: folder.url)
    #expect(outcome.status == 0, "\(arguments): \(outcome.errors)")
    return outcome
  }

  /// The latents of a short run, as a file.
  private func latents(_ model: String, _ options: String...) throws -> Data {
    let outcome = try CommandLine.run(
      [
        "generate", "-p", "a cat", "-W", "64", "-H", "48", "--steps", "2",
        "--max-sequence-length", "24", "--save-latents", "l", "-o", "p.png", "--force", "-q",
      ] + (model.isEmpty ? [] : ["-m", model]) + options, in: folder.url)
    #expect(outcome.status == 0, "\(model): \(outcome.errors)")
    return try data("l")
  }

  private func data(_ name: String) throws -> Data {
    try Data(contentsOf: folder.url.appendingPathComponent(name))
  }

  private func archive(_ name: String) throws -> TensorArchive {
    try TensorArchive(path: folder.path(name))
  }

  /// Types by the names of tensors.
  private func types(_ name: String) throws -> [String: ElementType] {
    Dictionary(
      try archive(name).tensors.records.map { ($0.name, $0.type) }, uniquingKeysWith: { $1 })
  }

  // MARK: synthesize

  @Test("a synthesized file and a folder of the same seed give the same bits")
  func synthesizedForms() throws {
    for type in ["f16", "bf16"] {
      try succeed("synthesize", "--preset", "tiny-flux", "--type", type, "file.gguf", "--force")
      try succeed("synthesize", "--preset", "tiny-flux", "--type", type, "folder/", "--force")
      #expect(try latents("file.gguf") == latents("folder"), "\(type)")
    }
  }

  @Test("a model of every type is drawn with", arguments: ["q2_K", "q3_K", "iq4_xs", "q5_1"])
  func synthesizedTypes(_ type: String) throws {
    try succeed("synthesize", "--preset", "tiny-flux", "--type", type, "file.gguf")
    #expect(try !latents("file.gguf").isEmpty)
    #expect(
      try types("file.gguf")["single_blocks.1.linear2.weight"]?.name.lowercased()
        == type.lowercased())
  }

  // MARK: convert

  @Test("file and folder hold the same after a way through each other")
  func roundTrip() throws {
    try succeed("convert", "in.gguf", "out/", "--type", "f32", "-q")
    let expected = try latents("in.gguf")
    #expect(try latents("out") == expected)
    try succeed("convert", "out", "back.gguf", "--type", "f32", "-q")
    #expect(try latents("back.gguf") == expected)
    // Queries, keys and values are tensors of their own in folders.
    let names = Set(
      try archive("out/transformer/diffusion_pytorch_model.safetensors").tensors.records
        .map(\.name))
    #expect(names.contains("single_transformer_blocks.1.proj_mlp.weight"))
    #expect(names.contains("transformer_blocks.0.attn.add_v_proj.bias"))
    // transformers looks for this token, and does not know a small vocabulary's.
    let configuration = try JSONValue(
      parsing: String(decoding: data("out/text_encoder/config.json"), as: UTF8.self))
    #expect(configuration["eos_token_id"]?.integerValue == 1023)
  }

  @Test("parts by themselves, in every container, are the model again")
  func parts() throws {
    let expected = try latents("in.gguf")
    let options = ["transformer", "t5xxl", "clip-l", "vae"]
    for ending in [".gguf", ".safetensors", "/"] {
      for part in options {
        try succeed(
          "convert", "in.gguf", "\(part)-part\(ending)", "--part", part, "--type", "f16", "-q")
      }
      // Such files do not tell what no tensor shows.
      let named =
        options.flatMap { ["--\($0)", "\($0)-part\(ending)"] }
        + (ending == ".safetensors" ? ["--vae-norm-groups", "8"] : [])
      let outcome = try CommandLine.run(
        [
          "generate", "-m", "in.gguf", "-p", "a cat", "-W", "64", "-H", "48", "--steps", "2",
          "--max-sequence-length", "24", "--save-latents", "l", "-o", "p.png", "--force", "-q",
        ] + named, in: folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try data("l") == expected, "\(ending)")
    }
    for (part, architecture) in zip(options, ["flux", "t5encoder", "clip", "vae"]) {
      let gguf = try #require(try archive("\(part)-part.gguf").gguf)
      #expect(gguf.value(for: "general.architecture")?.string == architecture)
    }
  }

  @Test("a part by itself is known as one of FLUX.1 by the settings in it")
  func inspectedParts() throws {
    for (part, missing) in [
      ("t5xxl", "transformer, CLIP text encoder, VAE, CLIP tokenizer"),
      ("clip-l", "transformer, T5 text encoder, VAE, T5 tokenizer"),
      ("vae", "transformer, T5 text encoder, CLIP text encoder, T5 tokenizer, CLIP tokenizer"),
    ] {
      try succeed("convert", "in.gguf", "p.gguf", "--part", part, "--type", "f16", "-q", "--force")
      let outcome = try succeed("inspect", "--verify", "p.gguf")
      #expect(outcome.output.contains("sound") && outcome.output.contains(missing), "\(part)")
      try succeed("convert", "p.gguf", "q.gguf", "--part", part, "--type", "f32", "-q", "--force")
    }
  }

  @Test("a quantized model is converted again: its weights stay, its errors too")
  func again() throws {
    try succeed("convert", "in.gguf", "small.gguf", "--type", "q4_K_M", "-q")
    try succeed("convert", "small.gguf", "large/", "--type", "f32", "-q")
    let outcome = try succeed("convert", "small.gguf", "other.gguf", "--type", "q8_0")
    #expect(outcome.errors.contains("are quantized already"))
    // Products with quantized weights round their activations, those with float32 do not.
    #expect(
      relativeError(try values(latents("large")), try values(latents("small.gguf"))) < 0.02)
    #expect(
      relativeError(try values(latents("other.gguf")), try values(latents("small.gguf"))) < 0.05)
  }

  /// The numbers of latents.
  private func values(_ file: Data) throws -> [Float] {
    try folder.write([UInt8](file), to: "values.safetensors")
    return try archive("values.safetensors").values(of: 0)
  }

  @Test("the best types for a size, with a matrix of the same run")
  func targetSize() throws {
    try folder.write(Array("a cat\n".utf8), to: "prompts.txt")
    let outcome = try succeed(
      "convert", "in.gguf", "best.gguf", "--target-size", "5.5MB", "-f", "prompts.txt")
    #expect(outcome.errors.contains("expected relative error of velocities"))
    let count = try data("best.gguf").count
    #expect(count <= 5_500_000 && count > 5_200_000)
    #expect(try !latents("best.gguf").isEmpty)
  }

  // MARK: imatrix

  @Test("a matrix is measured, knows every tensor that is rounded, and makes errors smaller")
  func importance() throws {
    try folder.write(Array("a cat\na red house by the sea\n".utf8), to: "prompts.txt")
    let options = ["-f", "prompts.txt", "-W", "64", "-H", "64", "--steps", "2", "-o", "i.gguf"]
    let measured = try CommandLine.run(["imatrix", "in.gguf"] + options, in: folder.url)
    // Guidance was never on.
    #expect(measured.status == 0 && measured.errors.isEmpty, "\(measured.errors)")
    try succeed("convert", "in.gguf", "plain.gguf", "--type", "q2_K", "-q")
    let outcome = try succeed(
      "convert", "in.gguf", "better.gguf", "--type", "q2_K", "--imatrix", "i.gguf", "-q")
    #expect(outcome.errors.isEmpty, "\(outcome.errors)")
    let expected = try values(latents("in.gguf"))
    let errors = try ["plain.gguf", "better.gguf"].map {
      relativeError(try values(latents($0)), expected)
    }
    #expect(errors[1] < errors[0])
  }

  // MARK: compare

  @Test("levels of a folder are compared by their weights, fused or not, and by pictures")
  func compare() throws {
    try succeed("convert", "in.gguf", "folder/", "--type", "f16", "-q")
    try succeed("convert", "in.gguf", "q4.gguf", "--type", "q4_K", "-q")
    try folder.write(
      Array(
        #"{"prompt": "a cat", "steps": 2, "width": 64, "height": 64, "max_sequence_length": 24}"#
          .utf8), to: "prompts.txt")
    let outcome = try succeed(
      "compare", "--reference", "folder", "--models", "q4.gguf", "in.gguf", "--types", "q8_0",
      "-f", "prompts.txt", "-o", "out", "--no-noise-floor", "--json")
    let levels = try #require(try JSONValue(parsing: outcome.output)["levels"]?.arrayValue)
    let errors = levels.dropFirst().map { $0["weightError"]?.doubleValue ?? -1 }
    #expect(errors.count == 3 && errors[1] == 0)
    #expect(errors[0] > 0.03 && errors[0] < 0.1 && errors[2] > 0 && errors[2] < 0.01)
    let velocities = levels.dropFirst().map { $0["velocityError"]?.doubleValue ?? -1 }
    #expect(velocities[0] > velocities[2] && velocities[1] == 0)
  }

  // MARK: bench

  @Test("a step has one branch and a padded prompt's tokens, unless somebody says otherwise")
  func bench() throws {
    func result(_ options: String...) throws -> JSONValue {
      let outcome = try CommandLine.run(
        ["bench", "step", "--transformer", "in.gguf", "-W", "64", "-H", "64", "--json"] + options,
        in: folder.url)
      return try #require(try JSONValue(parsing: outcome.output)["results"]?.arrayValue?.first)
    }
    let usual = try result()
    #expect(usual["branches"]?.integerValue == 1 && usual["tokens"]?.integerValue == 16 + 512)
    let other = try result("--branches", "2", "--text-tokens", "20")
    #expect(other["branches"]?.integerValue == 2 && other["tokens"]?.integerValue == 2 * 36)
    let blocks = try succeed(
      "bench", "block", "--transformer", "in.gguf", "--tokens", "45", "--json")
    let block = try JSONValue(parsing: blocks.output)["results"]?.arrayValue?.first
    #expect(block?["layers"]?.arrayValue?.map(\.integerValue) == [1, 2])
    #expect(block?["imageTokens"]?.integerValue == 36)
    let picture = try succeed(
      "bench", "block", "--transformer", "in.gguf", "--tokens", "1536,1280", "--repetitions", "0",
      "--json")
    let pictures = try #require(try JSONValue(parsing: picture.output)["results"]?.arrayValue)
    #expect(pictures.map { $0["imageTokens"]?.integerValue } == [1024, 729])
    #expect(pictures.map { $0["contextTokens"]?.integerValue } == [512, 551])
    for side in ["100", "0", "16400"] {
      let outcome = try CommandLine.run(
        ["bench", "step", "--transformer", "in.gguf", "-W", side], in: folder.url)
      #expect(outcome.status == 64 && outcome.errors.contains("multiple of 16"))
    }
  }

  // MARK: Notes

  @Test("CLIP's cut at 77 tokens is told beside that of the sequence, and counted")
  func cuts() throws {
    let long = Array(repeating: "cat", count: 100).joined(separator: " ")
    let outcome = try CommandLine.run(
      [
        "generate", "-m", "in.gguf", "-p", long, "-n", long, "--guidance-scale", "2", "-W", "64",
        "-H", "64", "--steps", "1", "--max-sequence-length", "512", "--json", "-o", "p.png",
      ], in: folder.url)
    let json = try JSONValue(parsing: outcome.output)
    let dropped = try #require(json["droppedPooledTokens"]?.integerValue)
    #expect(json["droppedTokens"]?.integerValue == 0 && dropped > 20)
    for text in ["prompt", "negative prompt"] {
      let note =
        "note: the \(text) is cut in part: \(dropped) of its tokens are beyond the 77 that CLIP reads"
      #expect(outcome.errors.contains("\(note)\n"), "\(outcome.errors)")
    }
  }

  // MARK: Defaults

  @Test("a default size that no picture can have is refused by its key")
  func defaultSize() throws {
    var bytes = try data("in.gguf")
    let key = try #require(bytes.range(of: Data("flux.default.width".utf8)))
    // Behind the key come its type and its value, of 4 bytes each.
    bytes[key.upperBound + 4] = 100
    bytes[key.upperBound + 5] = 0
    try folder.write([UInt8](bytes), to: "in.gguf")
    let outcome = try CommandLine.run(["generate", "-m", "in.gguf", "-p", "x"], in: folder.url)
    #expect(outcome.status == 65 && outcome.errorLines.count == 1)
    #expect(
      outcome.errors.contains("'flux.default.width' is 100, expected a multiple of 16"),
      "\(outcome.errors)")
  }
}
