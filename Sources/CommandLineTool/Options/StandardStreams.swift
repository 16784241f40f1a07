import ArgumentParser
import Foundation
import ModelFiles

/// What `-` stands for on the command line; `./-` is a file of that name.
enum StandardStreams {
  /// What standard input is called in messages.
  static let inputName = "standard input"
  private static let outputPath = "/dev/stdout"

  /// The path of an output that was named.
  static func outputPath(_ name: String) -> String { name == "-" ? outputPath : name }

  /// Whether a path is where results are printed, such as `/dev/stdout`.
  static func isOutput(_ path: String) -> Bool {
    var output = stat()
    guard let file = FileSystem.status(path), fstat(STDOUT_FILENO, &output) == 0 else {
      return false
    }
    return file.st_dev == output.st_dev && file.st_ino == output.st_ino
  }

  /// Refuses to write binary data to a terminal.
  static func expectNoTerminal(_ path: String, option: String) throws {
    guard path == outputPath, isatty(STDOUT_FILENO) == 1 else { return }
    throw ValidationError(
      "\(option) -: a terminal cannot show this file: redirect standard output, or name a file")
  }

  /// Refuses `-` where a name is needed.
  static func expectName(_ name: String, _ what: String) throws {
    guard name != "-" else {
      throw ValidationError("\(what) cannot go to standard output: name it, ./- if it is to be '-'")
    }
  }

  /// A text from standard input, to its end.
  ///
  /// - Throws: `ModelFileError` if it cannot be read, is not text or is too large.
  static func text(_ what: String) throws(ModelFileError) -> String {
    try TextInput.read(STDIN_FILENO, inputName, what)
  }
}

/// Texts from files and pipes.
enum TextInput {
  /// Largest text, in bytes.
  private static let maximumByteCount = 16 << 20

  /// The text of a file or pipe, `-` being standard input, without a byte order mark.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - what: what it should hold, for messages.
  /// - Returns: the text.
  /// - Throws: `ModelFileError` if it cannot be read, is not text or is too large.
  static func read(path: String, _ what: String) throws(ModelFileError) -> String {
    if path == "-" { return try StandardStreams.text(what) }
    let descriptor = FileSystem.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw failure(path, errno == ENOENT || errno == ENOTDIR ? .notFound : .unreadable)
    }
    defer { close(descriptor) }
    return try read(descriptor, path, what)
  }

  fileprivate static func read(
    _ descriptor: Int32, _ path: String, _ what: String
  ) throws(ModelFileError) -> String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Foundation.read(descriptor, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw failure(path, .unreadable) }
      if count == 0 { break }
      bytes += buffer[..<count]
      guard bytes.count <= maximumByteCount else {
        throw ModelFileError(
          path: path, kind: .malformed,
          fault: "has more than \(maximumByteCount >> 20) MiB: is it \(what)?")
      }
    }
    guard var text = String(validating: bytes, as: UTF8.self) else {
      throw ModelFileError(
        path: path, kind: .malformed, fault: "is not UTF-8 text: expected \(what)")
    }
    if text.unicodeScalars.first == "\u{FEFF}" { text.unicodeScalars.removeFirst() }
    return text
  }

  private static func failure(_ path: String, _ kind: ModelFileError.Kind) -> ModelFileError {
    ModelFileError(path: path, kind: kind, fault: String(cString: strerror(errno)))
  }
}
