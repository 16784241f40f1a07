import Foundation
import ModelFiles
import StrictJSON

/// A small JSON file that was read and parsed.
package struct ConfigurationFile: Sendable {
  /// Largest file that is taken for a configuration, in bytes.
  package static let maximumLength = 1 << 20

  package let path: String
  package let json: JSONValue

  /// Reads a file.
  ///
  /// - Throws: `ModelFileError` if it cannot be read, is too long or is not a JSON object.
  package init(path: String) throws(ModelFileError) {
    json = try JSONDocument(path: path, limit: Self.maximumLength).parsed()
    self.path = path
    let message = json["error"] ?? json["detail"]
    if let text = message?.stringValue, json.members?.count ?? 0 <= 4 {
      throw ModelFileError(
        path: path, kind: .malformed,
        fault: "is a server's answer ('\(text.prefix(60))'), not a configuration: download it again"
      )
    }
  }

  /// Reads a text in a file; see `JSONDocument`.
  init(
    _ range: Range<Int>, of file: MappedFile, what: String
  ) throws(ModelFileError) {
    json = try JSONDocument(range, of: file, what: what, limit: Self.maximumLength).parsed()
    path = file.path
  }

  /// Reads a text among the metadata of a file.
  ///
  /// - Throws: `ModelFileError` if it is too long or not a JSON object.
  init(_ text: String, of key: String, in path: String) throws(ModelFileError) {
    func malformed(_ fault: String) -> ModelFileError {
      ModelFileError(path: path, kind: .malformed, fault: "metadata '\(key)' \(fault)")
    }
    guard text.utf8.count <= Self.maximumLength else {
      throw malformed("has more than \(Self.maximumLength) bytes")
    }
    do {
      json = try JSONValue(parsing: text)
    } catch {
      throw malformed("\(error)")
    }
    guard json.members != nil else { throw malformed("is not a JSON object") }
    self.path = path
  }

  /// Reads a file if it exists.
  package static func ifPresent(_ path: String) throws(ModelFileError) -> ConfigurationFile? {
    guard FileSystem.exists(path) else { return nil }
    return try ConfigurationFile(path: path)
  }

  /// Reads a scheduler's configuration if it exists.
  ///
  /// diffusers writes it with Python's words for numbers that JSON has not, such as
  /// `"lambda_min_clipped": -Infinity`. They become null, but for options that are read here, which
  /// have to be numbers.
  package static func scheduler(_ path: String) throws(ModelFileError) -> ConfigurationFile? {
    guard FileSystem.exists(path) else { return nil }
    let file = try MappedFile(path: path)
    guard file.bytes.count <= maximumLength else { return try ConfigurationFile(path: path) }
    let text = String(decoding: file.bytes, as: UTF8.self)
    let plain = withoutWordsForNumbers(text)
    guard plain != text, let json = try? JSONValue(parsing: plain), json.members != nil else {
      return try ConfigurationFile(path: path)
    }
    for option in readOptions {
      let pattern = "\"\(option)\"\\s*:\\s*(-?Infinity|NaN)"
      guard text.range(of: pattern, options: .regularExpression) == nil else {
        throw ModelFileError(
          path: path, kind: .malformed, fault: "'\(option)' is not a finite number")
      }
    }
    return ConfigurationFile(path: path, json: json)
  }

  /// Options of schedulers that are numbers and count here.
  private static let readOptions = [
    "shift", "flow_shift", "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len",
    "shift_terminal", "num_train_timesteps",
  ]

  private init(path: String, json: JSONValue) {
    (self.path, self.json) = (path, json)
  }

  /// A JSON text with null where Python's words for numbers stand.
  private static func withoutWordsForNumbers(_ text: String) -> String {
    let words = ["-Infinity", "Infinity", "NaN"].map { Array($0.utf8) }
    var (result, rest, isInString) = ([UInt8](), Array(text.utf8)[...], false)
    while let byte = rest.first {
      if !isInString, let word = words.first(where: { rest.starts(with: $0) }) {
        result += Array("null".utf8)
        rest = rest.dropFirst(word.count)
        continue
      }
      let isEscape = isInString && byte == UInt8(ascii: "\\")
      if byte == UInt8(ascii: "\"") { isInString.toggle() }
      result += rest.prefix(isEscape ? 2 : 1)
      rest = rest.dropFirst(isEscape ? 2 : 1)
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// `model_index.json` of a folder, if there is one.
  static func pipelineIndex(_ folder: String) throws(ModelFileError) -> ConfigurationFile? {
    try ifPresent(ModelFolder.join(folder, "model_index.json"))
  }

  /// Whether the configuration describes one of a part's networks.
  func describes(_ slot: Slot) -> Bool {
    guard let name = json["_class_name"]?.stringValue ?? json["model_type"]?.stringValue else {
      return false
    }
    return slot.networks.contains { $0.className == name || $0.modelTypes.contains(name) }
  }
}
