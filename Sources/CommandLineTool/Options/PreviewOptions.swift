import ArgumentParser
import Foundation
import ModelFiles
import TextToImage

/// What is shown of pictures while they are made.
struct PreviewOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "A PNG that shows, while it works, what the picture is going to be; it is replaced at each "
        + "preview.", valueName: "file"), completion: .file())
  var preview: String?

  @Option(
    name: [.long, .customLong("preview-interval")], parsing: .unconditional,
    help: ArgumentHelp("Steps from one preview to the next. (default: 1)", valueName: "count"))
  var previewEvery: Int?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "A tiny decoder for previews (TAESD and its kind); without one, colors are told from latents "
        + "by a function that is fitted to the model's decoder.", valueName: "path"),
    completion: .file())
  var previewDecoder: String?

  @Flag(
    name: .long,
    help: "Show previews in the terminal, if it can show pictures (kitty, iTerm2, sixel).")
  var previewTerminal = false

  /// Whether anything is shown.
  var isUsed: Bool { preview != nil || previewTerminal }

  mutating func validate() throws {
    if !isUsed, previewEvery != nil || previewDecoder != nil {
      throw ValidationError(
        "--preview-every and --preview-decoder are for --preview and --preview-terminal")
    }
    if let previewEvery, !(1...10_000).contains(previewEvery) {
      throw ValidationError("--preview-every \(previewEvery) is outside of 1...10000")
    }
    if let preview {
      try StandardStreams.expectName(preview, "a file")
      guard preview.lowercased().hasSuffix(".png") else {
        throw ValidationError("--preview names a file ending in .png, not '\(preview)'")
      }
    }
    guard previewDecoder != "" else { throw ValidationError("--preview-decoder names no file") }
  }

  /// What to ask the pipeline for.
  func choice(_ pipeline: Pipeline) throws -> PreviewChoice? {
    guard isUsed else { return nil }
    return PreviewChoice(
      every: previewEvery ?? 1,
      decoder: try previewDecoder.map { try pipeline.previewDecoder(path: $0) })
  }
}

/// Shows previews as they come.
struct PreviewWriter: Sendable {
  private let path: String?
  private let protocolName: TerminalPicture.Kind?

  /// - Throws: `ValidationError` if pictures are wanted in a terminal that is not known to show
  ///   any.
  init(_ options: PreviewOptions) throws {
    path = options.preview
    guard options.previewTerminal else {
      protocolName = nil
      return
    }
    guard isatty(STDERR_FILENO) == 1 else {
      throw ValidationError("--preview-terminal: standard error is not a terminal")
    }
    guard let kind = TerminalPicture.kind(environment: Self.environment) else {
      throw ValidationError(
        "--preview-terminal: this terminal is not known to show pictures; if it does, name how with "
          + "\(TerminalPicture.variable)=kitty, iterm2 or sixel")
    }
    protocolName = kind
  }

  private static func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }

  /// Shows what a step's pictures are going to be; those of pictures that are made together side by
  /// side in the terminal, the first in the file. A preview that cannot be written is not worth an
  /// end of the work.
  func show(_ progress: GenerationProgress) {
    guard let first = progress.previews.first else { return }
    if let path, let bytes = try? first.pngData() {
      try? AtomicFile.write(bytes, to: path, overwrite: true)
    }
    guard let protocolName else { return }
    LiveLine.shared.printAbove(
      progress.previews.map { TerminalPicture(protocolName).text(of: $0) }.joined(separator: " ")
        + "\n")
  }
}
