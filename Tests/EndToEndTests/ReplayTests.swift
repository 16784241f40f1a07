import Foundation
import Images
import ModelFiles
import TestSupport
import Testing

@Suite("auraflow generate --from")
struct ReplayTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try CommandLine.run(["generate"] + arguments, in: folder.url)
  }

  private func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.url.appendingPathComponent(name)))
  }

  @Test(
    "every setting comes again, and with it every byte of the file",
    arguments: [
      ["-s", "5", "--steps", "3", "-n", "a dog", "--guidance-scale", "2.5", "-W", "96"],
      ["--sampler", "euler_a", "--schedule", "beta", "--steps", "40", "--shift", "2"],
      ["--sigmas", "1,0.7,0.3", "--guidance-interval", "0.5,1", "--guidance-rescale", "0.3"],
      ["--steps", "4", "--guidance-schedule", "4,2,1", "--prompt-weights", "comfy"],
    ])
  func same(_ arguments: [String]) throws {
    let prompt = "a (red:1.3) apple,\nSteps: 7 \"quoted\" é"
    #expect(try run(arguments + ["-p", prompt, "-b", "2", "-o", "a.png"]).status == 0)
    let outcome = try run(["--from", "a_001.png", "-o", "b.png"])
    #expect(outcome.status == 0 && !outcome.errors.contains("other model"), "\(outcome.errors)")
    #expect(try bytes("a_001.png") == bytes("b.png"))
  }

  @Test("options replace what the picture says")
  func overrides() throws {
    #expect(try run(["-p", "a red apple", "--sigmas", "1,0.5", "-o", "a.png"]).status == 0)
    #expect(try run(["-p", "a cat", "--steps", "3", "-s", "2", "-o", "b.png"]).status == 0)
    let changed = ["--from", "a.png", "-p", "a cat", "--steps", "3", "-s", "2", "-o", "c.png"]
    #expect(try run(changed).status == 0)
    #expect(try bytes("b.png") == bytes("c.png"))
  }

  @Test("latents are found beside the picture, and refused if they are others")
  func latents() throws {
    let quick = ["-p", "a red apple", "--steps", "2"]
    #expect(
      try run(quick + ["-b", "2", "-o", "n.png", "--save-latents", "l.safetensors"]).status == 0)
    let started = ["--latents", "l.safetensors", "--sigmas", "0.4,0.2", "-p", "a red apple"]
    #expect(try run(started + ["-o", "a.png"]).status == 0)
    #expect(try run(["--from", "a_001.png", "-o", "b.png"]).status == 0)
    #expect(try bytes("a_001.png") == bytes("b.png"))
    #expect(
      try run(quick + ["-s", "9", "-o", "m.png", "--save-latents", "l.safetensors", "--force"])
        .status == 0)
    let other = try run(["--from", "a_001.png", "-o", "c.png"])
    #expect(other.status == 65 && other.errors.contains("is another file than"), "\(other.errors)")
    // The file that took part, elsewhere.
    #expect(
      try run(quick + ["-b", "2", "-o", "k.png", "--save-latents", "k.safetensors"]).status == 0)
    let named = try run(["--from", "a_001.png", "--latents", "k.safetensors", "-o", "d.png"])
    #expect(named.status == 0 && named.output == "d.png\n", "\(named.errors)")
    #expect(
      try RGBImage(pngData: bytes("d.png")) == RGBImage(pngData: bytes("a_001.png")))
    try FileManager.default.removeItem(atPath: folder.path("l.safetensors"))
    let missing = try run(["--from", "a_001.png", "-o", "c.png"])
    #expect(missing.status == 66 && missing.errors.contains("name it with --latents"))
  }

  @Test("adapters come again with their strengths, or are missed")
  func adapters() throws {
    let module = "diffusion_model.double_layers.0.attn.w1q"
    let tensors = [("lora_down", [2, 256]), ("lora_up", [256, 2])].map { end, shape in
      SafetensorsWriter.FloatTensor(
        name: "\(module).\(end).weight", shape: shape,
        values: (0..<512).map { Float($0 % 7 - 3) / 20 })
    }
    try folder.write(SafetensorsWriter.encode(tensors), to: "style.safetensors")
    let quick = ["-p", "a red apple", "--steps", "2"]
    #expect(try run(quick + ["--lora", "style.safetensors:0.7", "-o", "a.png"]).status == 0)
    #expect(try run(quick + ["-o", "plain.png"]).status == 0)
    #expect(try run(["--from", "a.png", "-o", "b.png"]).status == 0)
    #expect(try bytes("a.png") == bytes("b.png"))
    #expect(try bytes("a.png") != bytes("plain.png"))
    try folder.write(Array("other".utf8), to: "style.safetensors")
    let other = try run(["--from", "a.png", "-o", "c.png"])
    #expect(other.status == 65 && other.errors.contains("with --lora"), "\(other.errors)")
  }

  @Test("a picture that was started from is found beside the result, and its mask")
  func starts() throws {
    #expect(try run(["-p", "a red apple", "--steps", "2", "-o", "first.png"]).status == 0)
    let mask = RGBImage(
      width: 128, height: 128,
      pixels: (0..<128 * 128).flatMap { [UInt8](repeating: $0 % 128 < 64 ? 255 : 0, count: 3) })
    try folder.write(try mask.pngData(), to: "mask.png")
    let started = [
      "-p", "a pear", "-i", "first.png", "--strength", "0.5", "--mask", "mask.png", "--steps", "4",
      "--keep-unmasked", "--mask-blur", "7", "--resize", "fill", "--sampler", "euler_a",
    ]
    #expect(try run(started + ["-o", "a.png"]).status == 0)
    let again = try run(["--from", "a.png", "-o", "b.png"])
    #expect(again.status == 0, "\(again.errors)")
    #expect(try bytes("a.png") == bytes("b.png"))
    #expect(try run(["--from", "a.png", "--strength", "0.25", "-o", "d.png"]).status == 0)
    #expect(try bytes("a.png") != bytes("d.png"))
    try FileManager.default.removeItem(atPath: folder.path("mask.png"))
    let missing = try run(["--from", "a.png", "-o", "c.png"])
    #expect(missing.status == 66 && missing.errors.contains("name it with --mask"))
  }

  @Test("another model is told, and A1111's text is read")
  func foreign() throws {
    #expect(
      try CommandLine.run(
        ["synthesize", "--preset", "tiny", "--type", "q4_K", "tiny.gguf"], in: folder.url
      ).status == 0)
    let size = ["-W", "64", "-H", "64", "--steps", "1"]
    #expect(try run(["-m", "tiny.gguf", "-p", "x", "-o", "t.png"] + size).status == 0)
    let outcome = try run(["--from", "t.png", "-o", "u.png"])
    #expect(
      outcome.status == 0 && outcome.errors.contains("made with other model files (tiny.gguf"))
    let parameters = """
      a red apple,
      on a table
      Negative prompt: dog
      Steps: 3, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 2.5, Seed: 11, Size: 96x64, \
      Model hash: 6ce0161689, Model: x, Version: 1.9.3
      """
    let image = RGBImage(width: 1, height: 1, pixels: [1, 2, 3])
    try folder.write(try image.pngData(texts: [("parameters", parameters)]), to: "p.png")
    #expect(try run(["--from", "p.png", "-o", "v.png"]).status == 0)
    let same = [
      "-p", "a red apple,\non a table", "-n", "dog", "--steps", "3", "--sampler", "dpmpp_2m",
      "--schedule", "karras", "--cfg-scale", "2.5", "-s", "11", "-W", "96", "-H", "64",
      "--prompt-weights", "a1111",
    ]
    #expect(try run(same + ["-o", "w.png"]).status == 0)
    #expect(try bytes("v.png") == bytes("w.png"))
  }

  @Test(
    "what is no such picture is refused",
    arguments: [
      ([UInt8]("text".utf8), 65, "is not a PNG file"),
      ([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], 65, "does not say how it was made"),
    ])
  func faults(_ content: [UInt8], _ status: Int32, _ message: String) throws {
    try folder.write(content, to: "p.png")
    let outcome = try run(["--from", "p.png", "-o", "o.png"])
    #expect(outcome.status == status && outcome.errors.contains(message), "\(outcome.errors)")
    #expect(try run(["--from", "none.png", "-o", "o.png"]).status == 66)
    #expect(try run(["--from", "p.png", "-f", "p.txt", "-o", "o.png"]).status == 64)
  }

  @Test("faulty metadata are refused in one line")
  func faultyMetadata() throws {
    let image = RGBImage(width: 1, height: 1, pixels: [1, 2, 3])
    for text in [
      "{", "[]", "{\"prompt\": 3}", "{\"steps\": 3}", "{\"prompt\": \"a\", \"seed\": -4}",
      "{\"prompt\": \"a\", \"sampler\": \"none\"}",
      "{\"prompt\": \"a\", \"guidanceInterval\": [1, 0]}",
      "{\"prompt\": \"a\", \"givenSigmas\": [1, \"x\"]}",
      "{\"prompt\": \"a\", \"inputs\": [{\"name\": \"b\"}]}",
      "{\"prompt\": \"a\", \"inputs\": "
        + "[{\"option\": \"latents\", \"name\": \"..\", \"fingerprint\": \"0\"}]}",
    ] {
      try folder.write(try image.pngData(texts: [("auraflow", text)]), to: "p.png")
      let outcome = try run(["--from", "p.png", "-o", "o.png", "--force"])
      #expect(outcome.status == 65, "\(text): \(outcome.errors)")
      #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
    }
    let escape =
      "{\"prompt\": \"a\", \"inputs\": [{\"option\": \"latents\", \"name\": "
      + "\"../../etc/passwd\", \"fingerprint\": \"00\"}]}"
    try folder.write(try image.pngData(texts: [("auraflow", escape)]), to: "p.png")
    let outcome = try run(["--from", "p.png", "-o", "o.png"])
    #expect(outcome.status == 66 && !outcome.errors.contains("etc"), "\(outcome.errors)")
  }
}
