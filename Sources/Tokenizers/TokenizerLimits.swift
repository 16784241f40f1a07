/// Bounds for what a tokenizer file may ask for, far beyond any that is in use.
///
/// A few kilobytes of it could otherwise take gigabytes or hours: replacements that feed each other
/// multiply a text, and lists that are named again and again multiply each other.
enum TokenizerLimits {
  /// Most steps of a normalizer.
  static let normalizerSteps = 64
  /// Most bytes that a normalizer may make of one.
  static let growth = 1024.0
  /// Longest replacement of a map of characters, in bytes; the usual one has 33.
  static let replacementLength = 256
  /// Most bytes that a normalizer may put in front of a text.
  static let prependedBytes = 1048_576.0
  /// Most steps of a pre-tokenizer, each of which may put a character in front of every word.
  static let preTokenizerSteps = 16
  /// Longest regular expression, in bytes.
  static let patternLength = 1024
  /// Most pieces of all templates, and most ids in them.
  static let templatePieces = 1024
  /// Longest suffix of the last character of a word, in bytes.
  static let endOfWordLength = 64
  /// Longest added token, in bytes.
  static let addedTokenLength = 1 << 16
  /// Most bytes of all tokens that are looked for in a text.
  static let searchedBytes = 1 << 20
  /// Most bytes of all pieces of a vocabulary that is searched as a tree.
  static let unigramBytes = 1 << 22
  /// Most sentinel tokens (`extra_ids`); published models have 100.
  static let sentinelTokens = 1024
}
