import Foundation
import Images
import ModelFiles
import StrictJSON
import TestSupport
import Testing

@Suite("Pictures in, on the command line")
struct PictureInputTests {
  private let folder: TemporaryFolder
  private static let picture = Fixtures.path("picture-starts/picture.png")
  private static let mask = Fixtures.path("picture-starts/mask.png")

  init() throws { folder = try TemporaryFolder() }

  private func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try CommandLine.run(arguments, in: folder.url)
  }

  private func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: folder.url.appendingPathComponent(name)))
  }

  @Test("generate starts from a picture and keeps what is not masked")
  func generate() throws {
    let start = ["generate", "-p", "a red apple", "--steps", "4", "-i", Self.picture]
    let outcome = try run(
      start + ["--mask", Self.mask, "--keep-unmasked", "--mask-blur", "0", "-o", "out.png"])
    #expect(outcome.status == 0 && outcome.output == "out.png\n" && outcome.errors.isEmpty)
    let image = try PNGPicture(try bytes("out.png")).image
    // 73x57, rounded to what the model can do.
    #expect(image.width == 80 && image.height == 64)
    func resized(_ path: String) throws -> RGBImage {
      try PNGPicture([UInt8](Data(contentsOf: URL(fileURLWithPath: path)))).image
        .resized(width: 80, height: 64)
    }
    let (own, mask) = (try resized(Self.picture), try resized(Self.mask).luminance)
    for pixel in mask.indices where mask[pixel] < 128 {
      #expect(image.pixels[3 * pixel..<3 * pixel + 3] == own.pixels[3 * pixel..<3 * pixel + 3])
    }
    let text = String(decoding: try bytes("out.png"), as: UTF8.self)
    #expect(text.contains("Denoising strength: 0.6") && text.contains("\"strength\":"))
    let stats = try run(
      start + ["--strength", "0.25", "--json", "-W", "64", "-H", "64", "-o", "1.png"])
    let json = try JSONValue(parsing: stats.output)
    #expect(json["steps"]?.integerValue == 1 && json["strength"]?.doubleValue == 0.25)
    #expect(json["seconds"]?["encoder"]?.doubleValue != nil)
  }

  @Test("plan counts the encoder of a picture to start from")
  func plan() throws {
    func stages(_ arguments: [String]) throws -> [String] {
      let outcome = try run(["plan", "--no-trial", "--memory", "max", "--json"] + arguments)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let plans = try JSONValue(parsing: outcome.output)["plans"]?.arrayValue
      return plans?.first?["stages"]?.arrayValue?.compactMap { $0["name"]?.stringValue } ?? []
    }
    let plain = try stages([])
    #expect(try stages(["-i", Self.picture]) == ["encoder"] + plain)
    #expect(!plain.contains("encoder") && plain.last == "decoder")
  }

  @Test("encode and decode go there and back")
  func coding() throws {
    #expect(try run(["generate", "-p", "a red apple", "--steps", "4", "-o", "a.png"]).status == 0)
    let encoded = try run(["encode", "a.png", "-o", "a.safetensors", "--json"])
    #expect(encoded.status == 0, "\(encoded.errors)")
    let shape = try JSONValue(parsing: encoded.output)["shape"]?.arrayValue
    #expect(shape?.compactMap(\.integerValue) == [1, 4, 16, 16])
    let decoded = try run(["decode", "a.safetensors", "-o", "again.png"])
    #expect(decoded.status == 0 && decoded.output == "again.png\n", "\(decoded.errors)")
    let (first, second) = (
      try PNGPicture(try bytes("a.png")).image, try PNGPicture(try bytes("again.png")).image
    )
    #expect(peakSignalToNoiseRatio(first.pixels, second.pixels) > 20)
    #expect(try run(["encode", "a.png", "-s", "1", "-o", "drawn.safetensors"]).status == 0)
    #expect(try bytes("drawn.safetensors") != bytes("a.safetensors"))
    #expect(try run(["decode", "a.safetensors", "-o", "again.png"]).status == 73)
    #expect(try run(["decode", "a.safetensors", "--index", "1", "-o", "b.png"]).status == 64)
    let onto = try run(["encode", "a.png", "-o", "a.png", "--force"])
    #expect(onto.status == 73 && onto.errors.contains("input"), "\(onto.errors)")
  }

  @Test(
    "an encoder comes in a file of its own for a decoder alone",
    .enabled(if: Fixtures.extraData != nil, Comment(rawValue: Fixtures.extraDataReason)))
  func separateEncoder() throws {
    let tiny = try #require(Fixtures.extraData).appendingPathComponent("vae-tiny")
    let decoder = ["--tae", tiny.appendingPathComponent("taesdxl_decoder.safetensors").path]
    let encode = ["encode", Self.picture, "-W", "64", "-H", "64", "-o", "l.safetensors"] + decoder
    let lacking = try run(encode)
    #expect(lacking.status == 69 && lacking.errors.contains("--vae-encoder"), "\(lacking.errors)")
    let encoder = tiny.appendingPathComponent("taesdxl_encoder.safetensors").path
    #expect(try run(encode + ["--vae-encoder", encoder]).status == 0)
    #expect(try run(["decode", "l.safetensors", "-o", "d.png"] + decoder).status == 0)
    let expected = try PNGPicture([UInt8](Data(contentsOf: URL(fileURLWithPath: Self.picture))))
      .image.resized(width: 64, height: 64)
    let found = try PNGPicture(try bytes("d.png")).image
    #expect(peakSignalToNoiseRatio(expected.pixels, found.pixels) > 20)
    // Latents of another number of channels.
    let other = tiny.appendingPathComponent("taef1_encoder.safetensors").path
    let unfit = try run(encode + ["--vae-encoder", other, "--force"])
    #expect(unfit.status == 65 && unfit.errors.contains("16"), "\(unfit.errors)")
  }

  @Test("pictures that are none are refused before the model is opened")
  func refusals() throws {
    func expectRefused(_ arguments: [String], _ status: Int32, _ part: String) throws {
      let outcome = try run(["generate", "-p", "x", "-m", "nowhere"] + arguments)
      #expect(outcome.status == status && outcome.errors.contains(part), "\(outcome.errors)")
      #expect(outcome.errors.split(separator: "\n").count <= 3)
    }
    try expectRefused(["-i", "missing.png"], 66, "missing.png")
    try expectRefused(["-i", "."], 74, "directory")
    try folder.write(Array("no picture".utf8), to: "text.png")
    try expectRefused(["-i", "text.png"], 65, "no PNG file")
    // A header alone decides about the size.
    var header = Array("IHDR".utf8) + [0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60, 8, 2, 0, 0, 0]
    header += [0x0F, 0xB0, 0xE2, 0x15]
    let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13]
    try folder.write(signature + header, to: "bomb.png")
    try expectRefused(["-i", "bomb.png"], 65, "60000x60000 pixels")
    try expectRefused(["--strength", "0.5"], 64, "--init-image")
    try expectRefused(["-i", Self.picture, "--strength", "2"], 64, "--strength 2")
    try expectRefused(["-i", Self.picture, "--keep-unmasked"], 64, "--mask")
    try expectRefused(["-i", Self.picture, "--mask", Self.mask, "--mask-blur", "2"], 64, "--keep")
    try expectRefused(["-i", Self.picture, "--latents", "x"], 64, "--latents")
  }

  @Test("a picture that would be enlarged beyond all memory is refused")
  func extremeShape() throws {
    let line = RGBImage(
      width: 60_000, height: 1, pixels: [UInt8](repeating: 7, count: 3 * 60_000))
    try folder.write(try line.pngData(), to: "line.png")
    let outcome = try run([
      "generate", "-p", "x", "-i", "line.png", "--resize", "fill", "-W", "128", "-H", "128", "-o",
      "out.png",
    ])
    #expect(outcome.status == 64 || outcome.status == 65, "\(outcome.errors)")
    #expect(outcome.errors.contains("before it is cut"), "\(outcome.errors)")
  }
}
