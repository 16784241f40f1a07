import ArgumentParser
import Foundation
import ModelFiles

/// Where the results go.
struct OutputOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("o")], parsing: .unconditional,
    help: ArgumentHelp(
      "The PNG to write; several become out_000.png, ... or follow a pattern such as out_%03d.png.",
      valueName: "file"))
  var output = "output.png"

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp("Write the final latents (safetensors).", valueName: "file"))
  var saveLatents: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Write seconds per stage and step and the peak memory (JSON).", valueName: "file"))
  var stats: String?

  /// Names that were checked to be writable.
  struct Files {
    let images: [String]
    let latents: String?
    let statistics: String?
  }

  /// Checks every output before the work begins.
  ///
  /// - Throws: `ModelFileError` or `ValidationError` for names that are taken twice, exist already
  ///   or cannot be written.
  func checkedFiles(imageCount: Int, force: Bool) throws -> Files {
    let files = Files(
      images: try OutputNames(output).names(count: imageCount), latents: saveLatents,
      statistics: stats)
    var seen: Set<String> = []
    for path in files.images + [files.latents, files.statistics].compactMap({ $0 }) {
      let isDevice = path.hasPrefix("/dev/")
      guard isDevice || seen.insert(URL(fileURLWithPath: path).standardized.path).inserted else {
        throw ValidationError("'\(path)' is named for two outputs")
      }
      try AtomicFile.check(path, overwrite: force)
    }
    return files
  }
}
