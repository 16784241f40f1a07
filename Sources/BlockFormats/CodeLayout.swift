/// What a matmul needs to know about a block format's codes.
package struct CodeLayout: Sendable, Equatable {
  /// Elements that share a scale: 16 or 32.
  package let groupWidth: Int
  /// Whether each group has a minimum beside its scale.
  package let hasMinimums: Bool
  /// Bound on the magnitude of the codes, after their middle is taken away in formats with
  /// minimums.
  package let largestCode: Int
  /// Whether scales are integers times a factor for each block of 256, as products may sum them up.
  package let hasIntegerScales: Bool

  init<Format: CodedFormat>(_ format: Format.Type) {
    groupWidth = Format.groupWidth
    hasMinimums = Format.hasMinimums
    largestCode = Format.largestCode
    hasIntegerScales = format is any IntegerScaledFormat.Type
  }
}
