import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import TextToImage
import Testing

@Suite("auraflow inspect")
struct InspectCommandTests {
  private func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try CommandLine.run(["inspect"] + arguments, in: Fixtures.folder)
  }

  @Test("lists a file's parts, tensors, totals and metadata as JSON")
  func json() throws {
    let outcome = try run([try ShippedModel.path(), "--json"])
    #expect(outcome.status == 0)
    let json = try JSONValue(parsing: outcome.output)
    #expect(json["architecture"]?.stringValue == "aura")
    #expect(json["missing"]?.arrayValue?.isEmpty == true)
    #expect(json["parts"]?.arrayValue?.count == 3)
    let tensors = try #require(json["tensors"]?.arrayValue)
    let first = try #require(
      tensors.first { $0["name"]?.stringValue == "double_layers.0.attn.w1q.weight" })
    #expect(first["type"]?.stringValue == "F16")
    #expect(first["shape"]?.arrayValue?.compactMap(\.integerValue) == [256, 256])
    #expect(first["bytes"]?.integerValue == 131_072)
    #expect(first["part"]?.stringValue == "transformer")
    let bytes = tensors.compactMap { $0["bytes"]?.integerValue }.reduce(0, +)
    let totals = try #require(json["types"]?.arrayValue).compactMap { $0["bytes"]?.integerValue }
    #expect(totals.reduce(0, +) == bytes)
  }

  @Test("a part by itself names what is missing")
  func missing() throws {
    let outcome = try run(["checkpoints/transformer_Q8_0.gguf"])
    #expect(outcome.status == 0)
    #expect(outcome.output.contains("missing here: text encoder, VAE, tokenizer"))
  }

  @Test("an index lists the tensors of all its shards")
  func index() throws {
    let folder = Fixtures.path("checkpoints/transformer_sharded")
    let name = try #require(
      try FileManager.default.contentsOfDirectory(atPath: folder).first { $0.hasSuffix(".json") })
    let outcome = try run([folder + "/" + name, "--json"])
    #expect(outcome.status == 0)
    let whole = try JSONValue(parsing: outcome.output)
    #expect(whole["layout"]?.stringValue == "sharded safetensors")
    #expect(try #require(whole["tensors"]?.arrayValue).count > 20)
  }

  @Test("a folder of several files lists all of them, shards once")
  func severalFiles() throws {
    let folder = try TemporaryFolder()
    for name in ["checkpoints/transformer_Q8_0.gguf", "checkpoints/vae_ldm.safetensors"] {
      let source = URL(fileURLWithPath: Fixtures.path(name))
      try FileManager.default.copyItem(
        at: source, to: folder.url.appendingPathComponent(source.lastPathComponent))
    }
    let shards = Fixtures.path("checkpoints/transformer_sharded")
    for name in try FileManager.default.contentsOfDirectory(atPath: shards) {
      try FileManager.default.copyItem(atPath: shards + "/" + name, toPath: folder.path(name))
    }
    let outcome = try run([folder.path, "--json"])
    #expect(outcome.status == 0)
    let json = try JSONValue(parsing: outcome.output)
    let names = try #require(json["files"]?.arrayValue).compactMap {
      $0.stringValue?.split(separator: "/").last.map(String.init)
    }
    #expect(
      names == [
        "diffusion_pytorch_model.safetensors.index.json", "transformer_Q8_0.gguf",
        "vae_ldm.safetensors",
      ])
    #expect(
      json["missing"]?.arrayValue?.compactMap(\.stringValue) == ["text encoder", "tokenizer"])
  }

  @Test("a folder with a tokenizer only says so; one with nothing is an error")
  func tokenizerOnly() throws {
    let tokenizer = Fixtures.path("pipelines/quantizable/tokenizer")
    for flags in [[], ["--json"]] {
      let outcome = try run([tokenizer] + flags)
      #expect(outcome.status == 0)
      #expect(outcome.output.contains(tokenizer + "/tokenizer.json"))
    }
    let empty = try run([try TemporaryFolder().path])
    #expect(empty.status == 66 && empty.errorLines.count == 1)
  }

  @Test("tensors of shards that the index does not list are counted")
  func unlisted() throws {
    let folder = try TemporaryFolder()
    try folder.write(
      SafetensorsWriter.encode([
        .init(name: "a", shape: [1], values: [1]), .init(name: "b", shape: [1], values: [1]),
      ]), to: "1.safetensors")
    let index = try folder.write(
      Array(#"{"weight_map": {"b": "1.safetensors"}}"#.utf8), to: "m.safetensors.index.json")
    #expect(
      try run([index]).output.contains("the last 1 of them are not listed in the index"))
    #expect(try run([index, "--json"]).output.contains("\"tensorsNotInIndex\": 1"))
  }

  @Test("of very long metadata the first texts are shown, of the others the length")
  func longMetadata() throws {
    let folder = try TemporaryFolder()
    let text = String(repeating: "\u{1B}", count: 1 << 20)
    let path = try folder.write(
      MinimalGGUF(texts: (0..<6).map { ("k\($0)", text) }).bytes, to: "long.gguf")
    let outcome = try run([path, "--json"])
    #expect(outcome.status == 0)
    let metadata = try JSONValue(parsing: outcome.output)["metadata"]
    #expect(metadata?["k3"]?.stringValue == text)
    #expect(metadata?["k4"]?.stringValue == "(1048576 bytes of text)")
    let shown = try run([path]).output
    #expect(shown.contains("k5 = \\u{1b}\\u{1b}") && shown.utf8.count < 20_000)
  }

  @Test("malformed files end with one harmless line and code 65")
  func malformed() throws {
    let folder = try TemporaryFolder()
    let hostile = "{\"a\u{1B}[31m\":{\"dtype\":\"F32\",\"shape\":[9],\"data_offsets\":[0,4]}}"
    let header = Array(hostile.utf8)
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    for (name, bytes) in [
      ("escape.safetensors", length + header + [0, 0, 0, 0]), ("empty.gguf", []),
      ("short.gguf", Array("GGUF".utf8)), ("text.txt", Array("hello".utf8)),
    ] {
      let outcome = try run([try folder.write(bytes, to: name)])
      #expect(outcome.status == 65, "\(name)")
      #expect(outcome.errorLines.count == 1 && outcome.output.isEmpty)
      #expect(outcome.errors.contains(name))
      #expect(outcome.errors.utf8.allSatisfy { $0 >= 0x20 || $0 == 0x0A })
    }
    #expect(try run([folder.path("nothing.gguf")]).status == 66)
  }
}
