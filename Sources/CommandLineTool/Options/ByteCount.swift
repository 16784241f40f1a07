import ArgumentParser

/// An amount of memory or disk on the command line: a number, perhaps with a fraction, and a unit.
///
/// In any case: K, M, G, T, also with i or iB, are powers of 1024, as `ulimit` and containers read
/// them; KB, MB, GB, TB are powers of 1000. A number alone, or with B, counts bytes.
struct ByteCount: Equatable {
  let bytes: Int

  /// The forms, for help and errors.
  static let forms = "8G or 8GiB (1024^3 bytes each), 8GB (1000^3), 1.5G, 600M, 4096K, 1T"

  /// The largest number of bytes that is taken: no machine has more.
  private static let largest = 1 << 50
  private static let prefixes: [Character: Int] = ["k": 1, "m": 2, "g": 3, "t": 4]

  init(bytes: Int) { self.bytes = bytes }

  /// - Throws: `ValidationError` with the forms unless the text is a size of at least one byte.
  init(argument: String) throws(ValidationError) {
    guard let bytes = Self.bytes(argument) else {
      throw ValidationError("expected a size such as \(Self.forms)")
    }
    self.bytes = bytes
  }

  private static func bytes(_ argument: String) -> Int? {
    let text = argument.lowercased().filter { $0 != " " }
    // Double takes more than people mean: signs, exponents, "inf", hexadecimal.
    let digits = text.prefix { $0.isASCIIDigit || $0 == "." }
    guard digits.first?.isASCIIDigit == true, let number = Double(digits),
      let unit = unit(text.dropFirst(digits.count))
    else { return nil }
    let bytes = (number * unit).rounded()
    return bytes >= 1 && bytes <= Double(largest) ? Int(bytes) : nil
  }

  /// Bytes of a unit; nil if it is not one.
  private static func unit(_ name: Substring) -> Double? {
    if name.isEmpty || name == "b" { return 1 }
    guard let prefix = name.first, let power = prefixes[prefix] else { return nil }
    let base: Double? =
      switch name.dropFirst() {
      case "", "i", "ib": 1024
      case "b": 1000
      default: nil
      }
    return base.map { base in (0..<power).reduce(1) { unit, _ in unit * base } }
  }
}

extension Character {
  fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
