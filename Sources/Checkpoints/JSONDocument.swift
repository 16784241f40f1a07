import ModelFiles
import StrictJSON

/// A JSON object in a file, checked but not parsed: its tree may take ten times its room.
package struct JSONDocument: Sendable {
  /// The file to name in messages.
  package let path: String
  private let file: MappedFile
  private let range: Range<Int>

  /// Opens a file.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - limit: most bytes that it may have.
  /// - Throws: `ModelFileError` if it cannot be read, is too long or is not a JSON object.
  init(path: String, limit: Int) throws(ModelFileError) {
    let file = try MappedFile(path: path)
    try self.init(0..<file.bytes.count, of: file, what: "", limit: limit)
  }

  /// Takes a text that lies in a file.
  ///
  /// - Parameters:
  ///   - range: where the text lies.
  ///   - file: the file that holds it.
  ///   - what: what the text is, for messages; empty for a whole file.
  ///   - limit: most bytes that it may have.
  /// - Throws: `ModelFileError` if it is too long or not a JSON object.
  init(
    _ range: Range<Int>, of file: MappedFile, what: String, limit: Int
  ) throws(ModelFileError) {
    let start = what.isEmpty ? "" : what + " "
    guard range.count <= limit else {
      throw file.malformed(
        "\(start)has \(range.count) bytes, at most \(limit) are allowed for such a file")
    }
    let kind: JSONScanner.Kind
    do {
      var scanner = JSONScanner(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
      kind = try scanner.peekKind()
      try scanner.skipValue()
      try scanner.expectEnd()
    } catch {
      // A whole file may be something else.
      if what.isEmpty, let kind = file.strangeContent { throw file.malformed(kind) }
      let advice = what.isEmpty ? ": the file is damaged or cut short, download it again" : ""
      throw file.malformed("\(start)\(error)\(advice)")
    }
    guard kind == .object else { throw file.malformed("\(start)is not a JSON object") }
    path = file.path
    self.file = file
    self.range = range
  }

  /// Calls `body` with the bytes of the text.
  func withBytes<Value>(_ body: (UnsafeRawBufferPointer) -> Value) -> Value {
    body(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
  }

  /// The text as it is in the file.
  package var text: String {
    String(decoding: UnsafeRawBufferPointer(rebasing: file.bytes[range]), as: UTF8.self)
  }

  /// The whole object as a tree.
  ///
  /// - Throws: `ModelFileError` if the file has changed since it was checked.
  package func parsed() throws(ModelFileError) -> JSONValue {
    do {
      return try JSONValue(parsing: UnsafeRawBufferPointer(rebasing: file.bytes[range]))
    } catch {
      throw file.malformed("\(error)")
    }
  }
}
