/// Bounds for what a tokenizer file may ask for, far beyond any that is in use.
///
/// A few kilobytes of it could otherwise take gigabytes or hours: replacements that feed each other
/// multiply a text, and lists that are named again and again multiply each other.
enum TokenizerLimits {
  /// Most steps of a normalizer.
  static let normalizerSteps = 64
  /// Most bytes that a normalizer may make of one.
  static let growth = 1024.0
  /// Most bytes that a normalizer may put in front of a text.
  static let prependedBytes = 1048_576.0
  /// Most steps of a pre-tokenizer, each of which may put a character in front of every word.
  static let preTokenizerSteps = 16
  /// Most pieces of all templates, and most ids in them.
  static let templatePieces = 1024
  /// Longest added token, in bytes.
  static let addedTokenLength = 1 << 16
  /// Most bytes of all tokens that are looked for in a text.
  static let searchedBytes = 1 << 20
}
