/// Why a tokenizer file cannot be used: malformed, inconsistent, or of a kind not supported.
public struct TokenizerError: Error, Equatable, CustomStringConvertible {
  /// What is wrong, where, what was expected and what was found, in one line.
  ///
  /// The name of the file is left to the caller, who knows it.
  public let reason: String

  package init(_ reason: String) {
    self.reason = reason
  }

  /// The reason.
  public var description: String { reason }

  /// A part of a file that is well formed, but describes something this runtime cannot do.
  static func unsupported(_ what: String, at place: String) -> TokenizerError {
    TokenizerError("\(place): \(what) is not supported")
  }
}
