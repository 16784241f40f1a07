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

  /// Reads a file if it exists.
  package static func ifPresent(_ path: String) throws(ModelFileError) -> ConfigurationFile? {
    guard FileSystem.exists(path) else { return nil }
    return try ConfigurationFile(path: path)
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
