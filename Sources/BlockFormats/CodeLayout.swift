/// What a product needs to know about a block format's codes.
package struct CodeLayout: Sendable, Equatable {
  /// Elements that share a scale: 16 or 32.
  package let groupWidth: Int
  /// Whether each group has a minimum beside its scale.
  package let hasMinimums: Bool
  /// Bound on the magnitude of the codes, after their middle is taken away in formats with
  /// minimums.
  package let largestCode: Int
  /// Whether scales are integers times a factor for each block of 256.
  package let hasIntegerScales: Bool

  init<Format: BlockFormat>(_ format: Format.Type, largestCode: Int) {
    groupWidth = Format.groupWidth
    hasMinimums = Format.hasMinimums
    self.largestCode = largestCode
    hasIntegerScales = format is any IntegerScaledFormat.Type
  }
}

extension ElementType {
  /// How the type's blocks come apart for products with their codes; nil for plain numbers, formats
  /// that are decoded only, and types without a decoder.
  package var codeLayout: CodeLayout? {
    switch self {
    case .q4_0: CodeLayout(Q4_0.self, largestCode: 8)
    case .q4_1: CodeLayout(Q4_1.self, largestCode: 8)
    case .q5_0: CodeLayout(Q5_0.self, largestCode: 16)
    case .q5_1: CodeLayout(Q5_1.self, largestCode: 16)
    case .q8_0: CodeLayout(Q8_0.self, largestCode: 128)
    case .q2_K: CodeLayout(Q2_K.self, largestCode: 2)
    case .q3_K: CodeLayout(Q3_K.self, largestCode: 4)
    case .q4_K: CodeLayout(Q4_K.self, largestCode: 8)
    case .q5_K: CodeLayout(Q5_K.self, largestCode: 16)
    case .q6_K: CodeLayout(Q6_K.self, largestCode: 32)
    case .iq4_nl: CodeLayout(IQ4_NL.self, largestCode: 127)
    case .iq4_xs: CodeLayout(IQ4_XS.self, largestCode: 127)
    default: nil
    }
  }
}
