import Foundation

/// The Unicode normalization forms with the tables that the reference has.
///
/// Foundation normalizes whole strings incorrectly where Hangul is composed partly and beyond
/// the basic plane, so only its decompositions of single scalars are used, which are right.
enum UnicodeNormalization {
  /// The fully decomposed form, NFD or NFKD.
  static func decomposed(_ text: String, compatibility: Bool) -> String {
    var scalars: [Unicode.Scalar] = []
    for scalar in text.unicodeScalars {
      scalars += decomposition(of: scalar, compatibility: compatibility)
    }
    sortMarks(&scalars)
    return string(scalars)
  }

  /// The composed form, NFC or NFKC.
  static func composed(_ text: String, compatibility: Bool) -> String {
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text }
    let scalars = Array(decomposed(text, compatibility: compatibility).unicodeScalars)
    var result: [Unicode.Scalar] = []
    /// Where the last scalar of class 0 is, with which others may combine.
    var starter: Int?
    var lastClass: UInt8 = 0
    for scalar in scalars {
      let scalarClass = combiningClass(scalar)
      // A scalar of the same or a higher class in between blocks the combination.
      if let index = starter, index == result.count - 1 || lastClass < scalarClass,
        let composite = composite(result[index], scalar)
      {
        result[index] = composite
        continue
      }
      if scalarClass == 0 { starter = result.count }
      lastClass = scalarClass
      result.append(scalar)
    }
    return string(result)
  }

  /// Marks in a row ordered by combining class; equal classes keep their order.
  private static func sortMarks(_ scalars: inout [Unicode.Scalar]) {
    var start = 0
    while start < scalars.count {
      var end = start
      while end < scalars.count, combiningClass(scalars[end]) != 0 { end += 1 }
      if end - start > 1 {
        let marks = scalars[start..<end].enumerated().sorted {
          (combiningClass($0.element), $0.offset) < (combiningClass($1.element), $1.offset)
        }
        scalars.replaceSubrange(start..<end, with: marks.map(\.element))
      }
      start = end + 1
    }
  }

  /// Whether the reference's tables, those of Unicode 9, have the scalar.
  private static func isKnown(_ scalar: Unicode.Scalar) -> Bool {
    guard let age = scalar.properties.age else { return false }
    return age.major <= 9
  }

  private static func combiningClass(_ scalar: Unicode.Scalar) -> UInt8 {
    guard scalar.value >= 0x300, isKnown(scalar) else { return 0 }
    return scalar.properties.canonicalCombiningClass.rawValue
  }

  private static func decomposition(
    of scalar: Unicode.Scalar, compatibility: Bool
  ) -> [Unicode.Scalar] {
    guard scalar.value >= 0x80, isKnown(scalar) else { return [scalar] }
    let text = String(Character(scalar))
    let decomposed =
      compatibility
      ? text.decomposedStringWithCompatibilityMapping : text.decomposedStringWithCanonicalMapping
    return Array(decomposed.unicodeScalars)
  }

  private static func composite(
    _ first: Unicode.Scalar, _ second: Unicode.Scalar
  ) -> Unicode.Scalar? {
    // Hangul syllables are computed: 19 leading consonants, 21 vowels, 27 trailing consonants.
    switch (first.value, second.value) {
    case (0x1100..<0x1113, 0x1161..<0x1176):
      return Unicode.Scalar(
        0xAC00 + ((first.value - 0x1100) * 21 + second.value - 0x1161) * 28)
    case (0xAC00..<0xD7A4, 0x11A8..<0x11C3) where (first.value - 0xAC00) % 28 == 0:
      return Unicode.Scalar(first.value + second.value - 0x11A7)
    default: return composites[pair(first, second)]
    }
  }

  /// Composites by their two parts.
  private static let composites: [UInt64: Unicode.Scalar] = {
    var decompositions: [(whole: Unicode.Scalar, parts: [Unicode.Scalar])] = []
    // No composite lies outside; ideographs and Hangul syllables are left out.
    for range in [0xC0..<0x3400, 0xF900..<0x11A00] as [Range<UInt32>] {
      for value in range {
        guard let scalar = Unicode.Scalar(value), scalar.properties.generalCategory != .unassigned,
          !scalar.properties.isFullCompositionExclusion
        else { continue }
        let parts = decomposition(of: scalar, compatibility: false)
        if parts.count > 1 { decompositions.append((scalar, parts)) }
      }
    }
    // Short ones first: all parts of a longer one but the last make up another composite.
    decompositions.sort { $0.parts.count < $1.parts.count }
    var composites: [UInt64: Unicode.Scalar] = [:]
    for (whole, parts) in decompositions {
      var first: Unicode.Scalar? = parts[0]
      for part in parts[1..<parts.count - 1] {
        first = first.flatMap { composites[pair($0, part)] }
      }
      if let first { composites[pair(first, parts[parts.count - 1])] = whole }
    }
    return composites
  }()

  private static func pair(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> UInt64 {
    UInt64(first.value) << 32 | UInt64(second.value)
  }

  private static func string(_ scalars: [Unicode.Scalar]) -> String {
    String(String.UnicodeScalarView(scalars))
  }
}
