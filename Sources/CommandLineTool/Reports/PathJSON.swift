import ModelFiles
import StrictJSON

extension JSONValue {
  /// A path, or a text that names some, as people see it: JSON is text, and a byte of a name that
  /// is not UTF-8 appears as `\xE9`, with its backslash escaped as JSON requires.
  static func path(_ path: String) -> JSONValue { .string(FilePaths.shown(path)) }
}
