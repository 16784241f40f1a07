import Foundation
import ModelFiles

/// A text file with one prompt per line.
struct PromptFile {
  /// Largest file, in bytes.
  static let maximumByteCount = 16 << 20

  /// What the lines say, without blanks at their ends; empty lines are none.
  let prompts: [String]

  /// Reads a file or pipe.
  ///
  /// - Throws: `ModelFileError` if it cannot be read, is no text, too large or has no prompt.
  init(path: String) throws(ModelFileError) {
    let text = try Self.text(path: path)
    // Scalars: a carriage return and a line feed are one character.
    prompts = text.unicodeScalars.split { $0 == "\n" || $0 == "\r" }
      .map { String($0).trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    guard !prompts.isEmpty else {
      throw ModelFileError(
        path: path, kind: .malformed, fault: "has no prompt: expected one per line")
    }
  }

  /// The text of a file or pipe of prompts, without a byte order mark.
  ///
  /// - Throws: `ModelFileError` if it cannot be read, is no text or too large.
  static func text(path: String) throws(ModelFileError) -> String {
    let bytes = try Self.read(path)
    guard var text = String(validating: bytes, as: UTF8.self) else {
      throw ModelFileError(
        path: path, kind: .malformed, fault: "is not UTF-8 text: expected one prompt per line")
    }
    if text.unicodeScalars.first == "\u{FEFF}" { text.unicodeScalars.removeFirst() }
    return text
  }

  private static func read(_ path: String) throws(ModelFileError) -> [UInt8] {
    let descriptor = FileSystem.open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw failure(path, errno == ENOENT || errno == ENOTDIR ? .notFound : .unreadable)
    }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Foundation.read(descriptor, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw failure(path, .unreadable) }
      if count == 0 { return bytes }
      bytes += buffer[..<count]
      guard bytes.count <= maximumByteCount else {
        throw ModelFileError(
          path: path, kind: .malformed,
          fault: "has more than \(maximumByteCount >> 20) MiB: is it a file of prompts?")
      }
    }
  }

  private static func failure(_ path: String, _ kind: ModelFileError.Kind) -> ModelFileError {
    ModelFileError(path: path, kind: kind, fault: String(cString: strerror(errno)))
  }
}
