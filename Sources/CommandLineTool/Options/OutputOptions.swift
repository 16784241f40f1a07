import ArgumentParser
import Foundation
import ModelFiles

/// Where the results go.
struct OutputOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("o")], parsing: .unconditional,
    help: ArgumentHelp(
      "The PNG to write, - for standard output; several become out_000.png, ... or follow a pattern "
        + "such as out_%03d.png.",
      valueName: "file"), completion: .file())
  var output = "output.png"

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp("Write the final latents (safetensors).", valueName: "file"),
    completion: .file())
  var saveLatents: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Write seconds per stage and step and the peak memory (JSON).", valueName: "file"),
    completion: .file())
  var stats: String?

  /// Names that were checked to be writable.
  struct Files {
    let images: [String]
    let latents: String?
    let statistics: String?
    /// Encoded prompts.
    var embeds: String?
    /// What shows pictures while they are made.
    var preview: String?
    /// Where unfinished pictures are kept; nil if nowhere.
    var unfinished: String? { images.first.flatMap(UnfinishedFile.path) }

    /// What was named.
    var all: [String] { images + [latents, statistics, embeds, preview].compactMap { $0 } }
    /// Everything that may be written.
    var written: [String] { all + [unfinished].compactMap { $0 } }
  }

  /// Checks every output before the work begins.
  ///
  /// - Parameters:
  ///   - images: the pictures' files.
  ///   - preview: the file that shows them while they are made.
  ///   - embeds: the file of the encoded prompts.
  ///   - force: whether existing files may be replaced.
  ///   - isResumed: whether files of an earlier run may be there: pictures stay, the others are
  ///     written anew.
  /// - Returns: the names.
  /// - Throws: `ModelFileError` or `ValidationError` for names that are taken twice, exist already
  ///   or cannot be written.
  func checkedFiles(
    images: [String], preview: String? = nil, embeds: String? = nil, force: Bool,
    isResumed: Bool = false
  ) throws -> Files {
    let files = Files(
      images: images,
      latents: saveLatents.map(StandardStreams.outputPath),
      statistics: stats.map(StandardStreams.outputPath),
      embeds: embeds.map(StandardStreams.outputPath), preview: preview)
    for path in files.images { try StandardStreams.expectNoTerminal(path, option: "--output") }
    if let path = files.latents {
      try StandardStreams.expectNoTerminal(path, option: "--save-latents")
    }
    if let path = files.embeds {
      try StandardStreams.expectNoTerminal(path, option: "--save-embeds")
    }
    var seen = Set([files.unfinished].compactMap { $0 }.map(Self.identity))
    for path in files.all {
      let takesSeveral = Self.isDevice(path) && path != StandardStreams.outputPath("-")
      guard takesSeveral || seen.insert(Self.identity(path)).inserted else {
        throw ValidationError("'\(path)' is named for two outputs")
      }
      try AtomicFile.check(path, overwrite: force || isResumed)
    }
    return files
  }

  /// Whether a path exists and is neither file nor folder: it can take several outputs.
  static func isDevice(_ path: String) -> Bool {
    let kinds = [S_IFREG, S_IFDIR]
    return FileSystem.status(path).map { !kinds.contains($0.st_mode & S_IFMT) } ?? false
  }

  /// The true path, so that two ways to write one file are seen as one.
  private static func identity(_ path: String) -> String { FileSystem.destination(of: path) }
}

extension OutputOptions.Files {
  /// Refuses to write onto a file that is being read, also by another name or link.
  ///
  /// - Parameter inputs: the files that are read.
  /// - Throws: `ModelFileError` naming the output.
  func expectApart(from inputs: [String]) throws {
    let read = Set(inputs.compactMap(Self.inode))
    for path in written {
      guard let inode = Self.inode(path), read.contains(inode) else { continue }
      throw ModelFileError(
        path: path, kind: .unwritable, fault: "is one of the input files: name another output")
    }
  }

  private struct Inode: Hashable {
    let device: UInt
    let number: UInt
  }

  private static func inode(_ path: String) -> Inode? {
    guard let status = FileSystem.status(path), status.st_mode & S_IFMT == S_IFREG else {
      return nil
    }
    return Inode(device: UInt(status.st_dev), number: UInt(status.st_ino))
  }
}
