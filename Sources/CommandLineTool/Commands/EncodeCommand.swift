import ArgumentParser
import Foundation
import ModelFiles
import StrictJSON
import TextToImage

/// Makes latents of a picture.
struct EncodeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "encode",
    abstract: "Make latents of a picture, with a model's autoencoder.",
    discussion: """
      Latents are the model's own, scaled as its transformer takes them: decode makes
      a picture of them again, and generate --latents starts from them. Without -W and
      -H the size follows the picture. The encoder gives a distribution: its mean is
      written, or with --seed latents drawn from it, as generate --init-image draws
      them.

        auraflow encode -m flux1-dev/ photo.png -o photo.safetensors
        auraflow decode -m flux1-dev/ photo.safetensors -o again.png
      """)

  @Argument(
    help: "The picture (PNG of any kind; transparency, color profile and EXIF do not count).",
    completion: .file(extensions: ["png"]))
  var picture: String

  @Option(
    name: [.long, .customShort("o")], parsing: .unconditional,
    help: ArgumentHelp("The safetensors file to write.", valueName: "file"), completion: .file())
  var output = "latents.safetensors"

  @Option(
    name: [.long, .customShort("W")], parsing: .unconditional,
    help: ArgumentHelp("Pixels per row, a multiple of 16.", valueName: "pixels"))
  var width: Int?

  @Option(
    name: [.long, .customShort("H")], parsing: .unconditional,
    help: ArgumentHelp("Rows, a multiple of 16.", valueName: "pixels"))
  var height: Int?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp("How the picture gets that size: stretch, fill or fit.", valueName: "way"))
  var resize = ResizeMode.stretch

  @Option(
    name: [.long, .customShort("s")], parsing: .unconditional,
    help: ArgumentHelp(
      "Draw the latents with this seed instead of writing their mean.", valueName: "number"))
  var seed: Seed?

  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup var encoder: EncoderOptions
  @OptionGroup(title: "Memory") var memory: MemoryOptions
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await reportingFailure {
      let session = CodingSession(common, output: output, option: "--output")
      try session.checkOutput()
      let image = try PictureFile.read(path: picture, session.console)
      let (pipeline, _) = try model.open(
        encoder: encoder.vaeEncoder, memory: memory, precision: precision,
        threads: common.threads)
      try pipeline.expectEncoder()
      try session.expectApart(
        from: pipeline.files + [picture, encoder.vaeEncoder].compactMap { $0 })
      let latents = try await session.computing {
        try await pipeline.encode(
          image, width: width, height: height, resize: resize, seed: seed?.value)
      }
      try session.write(
        LatentFile.encode(latents.values, shape: latents.shape), ending: ".safetensors",
        facts: ["shape": .array(latents.shape.map { .integer($0) })])
    }
  }
}

/// Makes a picture of latents.
struct DecodeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode",
    abstract: "Make a picture of latents, with a model's autoencoder.",
    discussion: """
      Takes what encode and generate --save-latents write, and ComfyUI's .latent. Of
      several pictures in a file --index chooses one.

        auraflow decode -m flux1-dev/ photo.safetensors -o photo.png
      """)

  @Argument(help: "The latents (safetensors).", completion: .file())
  var latents: String

  @Option(
    name: [.long, .customShort("o")], parsing: .unconditional,
    help: ArgumentHelp("The PNG to write, - for standard output.", valueName: "file"),
    completion: .file())
  var output = "output.png"

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp("Which picture of the file, from 0.", valueName: "number"))
  var index = 0

  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Memory") var memory: MemoryOptions
  @OptionGroup var precision: PrecisionOptions
  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await reportingFailure {
      let session = CodingSession(common, output: output, option: "--output")
      try session.checkOutput()
      let file = try LatentFile(path: latents)
      guard (0..<file.shape[0]).contains(index) else {
        throw ValidationError("--index \(index): '\(latents)' holds \(file.shape[0]) pictures")
      }
      let (pipeline, _) = try model.open(
        memory: memory, precision: precision, threads: common.threads)
      try session.expectApart(from: pipeline.files + [latents])
      let values = file.values(for: pipeline)
      let count = values.count / file.shape[0]
      let image = try await session.computing {
        try await pipeline.decode(
          Array(values[index * count..<(index + 1) * count]), height: file.shape[2],
          width: file.shape[3])
      }
      try session.write(
        image.pngData(), ending: ".png",
        facts: ["width": .integer(image.width), "height": .integer(image.height)])
    }
  }
}
