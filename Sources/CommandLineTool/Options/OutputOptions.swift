import ArgumentParser
import Foundation
import ModelFiles

/// Where the results go.
struct OutputOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("o")], parsing: .unconditional,
    help: ArgumentHelp(
      "The PNG to write; several become out_000.png, ... or follow a pattern such as out_%03d.png.",
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

    var all: [String] { images + [latents, statistics].compactMap { $0 } }
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
    for path in files.all {
      guard Self.isDevice(path) || seen.insert(Self.identity(path)).inserted else {
        throw ValidationError("'\(path)' is named for two outputs")
      }
      try AtomicFile.check(path, overwrite: force)
    }
    return files
  }

  /// Whether a path exists and is neither file nor folder: it can take several outputs.
  private static func isDevice(_ path: String) -> Bool {
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
    for path in all {
      guard let inode = Self.inode(path), read.contains(inode) else { continue }
      throw ModelFileError(
        path: path, kind: .unwritable, fault: "is one of the input files: name another output")
    }
  }

  /// Whether a path is where results are printed, such as `/dev/stdout`.
  static func isStandardOutput(_ path: String) -> Bool {
    var output = stat()
    guard let file = FileSystem.status(path), fstat(STDOUT_FILENO, &output) == 0 else {
      return false
    }
    return file.st_dev == output.st_dev && file.st_ino == output.st_ino
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
