import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing

/// `convert IN OUT/`: a model as a diffusers folder.
@Suite("Converting to diffusers folders")
struct ConvertFolderTests: ConvertSuite {
  let folder: TemporaryFolder

  init() throws { folder = try Self.makeFolder() }

  private func latents(_ model: String) throws -> Data {
    let outcome = try CommandLine.run(
      [
        "generate", "-m", model, "-p", "a cat", "-W", "64", "-H", "64", "--steps", "3",
        "--guidance-scale", "3", "--max-sequence-length", "32", "--save-latents", "l", "--force",
        "-q",
      ], in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    return try data("l")
  }

  private func tensors(_ path: String) throws -> [String: [UInt8]] {
    let archive = try TensorArchive(path: folder.path(path))
    return try archive.tensors.records.indices.reduce(into: [:]) { tensors, index in
      tensors[archive.tensors.records[index].name] = try archive.copy(of: index)
    }
  }

  @Test("the folder draws the same bits, and a file made of it too")
  func roundTrip() throws {
    #expect(try run("in.gguf", "out/", "--type", "f32").status == 0)
    #expect(try latents("out") == latents("in.gguf"))
    #expect(try run("out", "back.gguf", "--type", "f32").status == 0)
    #expect(try latents("back.gguf") == latents("in.gguf"))
  }

  @Test("a scheduler that says more than a shift stays what it is, in a file too")
  func scheduler() throws {
    #expect(try run("in.gguf", "out/", "--type", "f32").status == 0)
    let plain = try latents("out")
    let configuration =
      #"{"_class_name":"FlowMatchHeunDiscreteScheduler","shift":2.5,"num_train_timesteps":1000}"#
    try folder.write(Array(configuration.utf8), to: "out/scheduler/scheduler_config.json")
    let inspected = try CommandLine.run(["inspect", "out"], in: folder.url)
    #expect(inspected.output.contains("sampler: heun"), "\(inspected.output)")
    let drawn = try latents("out")
    #expect(drawn != plain)
    #expect(try run("out", "whole.gguf", "--type", "f32").status == 0)
    #expect(try latents("whole.gguf") == drawn)
    #expect(try run("whole.gguf", "again/", "--type", "f32").status == 0)
    #expect(try json("again/scheduler/scheduler_config.json").text() == configuration)
    let faulty = #"{"_class_name":"EulerDiscreteScheduler"}"#
    try folder.write(Array(faulty.utf8), to: "out/scheduler/scheduler_config.json")
    let told = try CommandLine.run(["inspect", "out"], in: folder.url)
    #expect(told.output.contains("needs a --sampler"), "\(told.output)")
  }

  @Test("tensors, names and order of halves are those of a folder that synthesize writes")
  func likeSynthesized() throws {
    try Self.synthesize("made/", in: folder)
    #expect(try run("made", "whole.gguf", "--type", "f32").status == 0)
    #expect(try run("whole.gguf", "out", "--type", "f16").status == 0)
    for file in [
      "transformer/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors",
      "vae/diffusion_pytorch_model.safetensors",
    ] {
      #expect(try tensors("out/" + file) == tensors("made/" + file), "\(file)")
    }
    for name in ["transformer", "text_encoder", "vae"] {
      let (made, found) = try (json("made/\(name)/config.json"), json("out/\(name)/config.json"))
      // How large pictures are meant to be is lost in a file made of a folder.
      for member in found.members ?? []
      where made[member.key] != nil && member.key != "sample_size" {
        #expect(made[member.key]?.text() == member.value.text(), "\(name) \(member.key)")
      }
    }
  }

  private func json(_ path: String) throws -> JSONValue {
    try JSONValue(parsing: String(decoding: try data(path), as: UTF8.self))
  }

  @Test("what the input's own files say is kept")
  func configurations() throws {
    try Self.synthesize("made/", in: folder)
    let path = folder.path("made/vae/config.json")
    let text = try String(contentsOfFile: path, encoding: .utf8)
    try folder.write(
      Array(text.replacing("\"act_fn\"", with: "\"custom\": 7, \"act_fn\"").utf8),
      to: "made/vae/config.json")
    let own = "made/transformer/config.json"
    let stated = String(decoding: try data(own), as: UTF8.self)
    try folder.write(
      Array(
        stated.replacing(
          "\"patch_size\"",
          with: "\"quantization_config\": {\"quant_method\": \"x\"}, \"dtype\": \"float8\", "
            + "\"patch_size\""
        ).utf8), to: own)
    #expect(try run("made", "out", "--type", "bf16").status == 0)
    let found = try json("out/transformer/config.json")
    #expect(found["quantization_config"] == nil && found["dtype"]?.stringValue == "bfloat16")
    #expect(found["sample_size"]?.text() == (try json(own))["sample_size"]?.text())
    #expect(try json("out/vae/config.json")["custom"]?.integerValue == 7)
    #expect(
      try data("out/scheduler/scheduler_config.json").count > 10
        && json("out/scheduler/scheduler_config.json").text()
          == json("made/scheduler/scheduler_config.json").text()
    )
    #expect(
      try json("out/tokenizer/tokenizer_config.json").text()
        == json("made/tokenizer/tokenizer_config.json").text())
  }

  @Test("folders of others stay, own ones are replaced where that is allowed")
  func replacing() throws {
    try folder.write([1], to: "theirs/file")
    #expect(try run("in.gguf", "theirs/", "--type", "f16", "--force").status == 73)
    #expect(try run("in.gguf", "out/", "--type", "f16").status == 0)
    #expect(try run("in.gguf", "out/", "--type", "f16").status == 73)
    #expect(try run("in.gguf", "out/", "--type", "f32", "--force").status == 0)
    try folder.write([1], to: "out/transformer/picture.png")
    let filled = try run("in.gguf", "out/", "--type", "f16", "--force")
    #expect(filled.status == 73 && filled.errors.contains("'transformer/picture.png'"))
    try FileManager.default.removeItem(atPath: folder.path("out/transformer/picture.png"))
    let own = try run("out", "out/", "--type", "f16", "--force")
    #expect(own.status == 73 && own.errors.contains("one of the input files"))
  }

  @Test("a single part, a dry run, and what cannot be")
  func others() throws {
    #expect(try run("in.gguf", "vae/", "--type", "f16", "--part", "vae").status == 0)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.path("vae")).sorted()
        == ["config.json", "diffusion_pytorch_model.safetensors"])
    #expect(try run("in.gguf", "dry/", "--type", "f16", "--dry-run").status == 0)
    #expect(!FileManager.default.fileExists(atPath: folder.path("dry")))
    let blocks = try run("in.gguf", "q/", "--type", "q4_0")
    #expect(blocks.status == 64 && blocks.errors.contains("F32, F16 or BF16"))
    #expect(try run("in.gguf", "x.bin", "--type", "f16").status == 64)
    #expect(try run("in.gguf", "x/", "--target-size", "9M").status == 64)
    #expect(try run("in.gguf", "x.gguf/", "--type", "f16").status == 0)
    let lost = try run("in.gguf", "d/", "--type", "f16")
    #expect(lost.errors.contains("--steps"), "\(lost.errors)")
  }
}
