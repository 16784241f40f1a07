import Foundation
import Images
import TestSupport

/// A folder in which `generate` writes pictures.
struct PictureFolder {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Runs `generate`.
  func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try CommandLine.run(["generate"] + arguments, in: folder.url)
  }

  /// The pixels of a picture.
  func pixels(_ name: String) throws -> RGBImage {
    try RGBImage(
      pngData: [UInt8](Data(contentsOf: folder.url.appendingPathComponent(name))))
  }
}
