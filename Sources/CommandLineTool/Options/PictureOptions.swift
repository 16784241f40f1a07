import ArgumentParser
import Foundation
import TextToImage

/// What the picture should be.
struct PictureOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("p")], parsing: .unconditional,
    help: ArgumentHelp("What the picture should show.", valueName: "text"))
  var prompt: String

  @OptionGroup var sampling: SamplingOptions

  @Option(
    name: [.long, .customShort("b"), .customLong("batch-count")], parsing: .unconditional,
    help: ArgumentHelp("Pictures to make; image i uses seed + i.", valueName: "count"))
  var numImages: Int?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Start from these latents instead of noise: what --save-latents wrote, or a .latent of "
        + "ComfyUI. They count as noisy as the first level; --sigmas 1e-6 only decodes finished "
        + "ones.", valueName: "file"), completion: .file())
  var latents: String?

  /// The request for the library.
  func request(
    count: Int, initial: LatentFile?, _ pipeline: Pipeline
  ) throws(GenerationError) -> GenerationRequest {
    var request = sampling.request(prompt: prompt)
    request.imageCount = count
    if let initial {
      request.latents = initial.values(for: pipeline)
      // Latents know their size.
      request.width = sampling.width ?? initial.shape[3] * pipeline.upscaling
      request.height = sampling.height ?? initial.shape[2] * pipeline.upscaling
    }
    let settings = try pipeline.settings(for: request)
    if let initial {
      let expected = pipeline.latentShape(for: settings)
      guard initial.shape == expected else {
        throw .invalidRequest(
          "--latents has shape \(initial.shape), this request needs \(expected)")
      }
    }
    return request
  }
}

/// A seed; negative ones on the command line ask for a random one.
struct Seed: ExpressibleByArgument, CustomStringConvertible {
  let value: UInt64

  init(value: UInt64) { self.value = value }

  init?(argument: String) {
    if let value = UInt64(argument) {
      self.value = value
    } else if Int64(argument) != nil {
      value = UInt64(UInt32.random(in: 0...UInt32.max))
    } else {
      return nil
    }
  }

  var description: String { "\(value)" }
}

/// Numbers separated by commas or blanks.
struct NumberList: ExpressibleByArgument {
  let values: [Double]

  init?(argument: String) {
    var values: [Double] = []
    for part in argument.split(whereSeparator: { $0 == "," || $0.isWhitespace }) {
      guard let value = Double(part), value.isFinite else { return nil }
      values.append(value)
    }
    guard !values.isEmpty else { return nil }
    self.values = values
  }
}
