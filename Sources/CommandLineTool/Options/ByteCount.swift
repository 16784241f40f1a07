import ArgumentParser

/// An amount of memory on the command line: a number, perhaps with a fraction, and a unit.
///
/// Units are B, KB, MB, GB (powers of 1000) and KiB, MiB, GiB (powers of 1024), in any case; a
/// number alone counts bytes.
struct ByteCount: ExpressibleByArgument, Equatable {
  let bytes: Int

  /// The largest number of bytes that is taken: no machine has more.
  private static let largest = 1 << 50
  private static let units: [(name: String, bytes: Double)] = [
    ("kib", 0x1p10), ("mib", 0x1p20), ("gib", 0x1p30), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9),
    ("b", 1),
  ]

  init(bytes: Int) { self.bytes = bytes }

  /// - Returns: nil unless the text is a size of at least one byte.
  init?(argument: String) {
    let text = argument.lowercased()
    let unit = Self.units.first { text.hasSuffix($0.name) } ?? ("", 1)
    var digits = text.dropLast(unit.name.count)
    while digits.last == " " { digits.removeLast() }
    // Double takes more than people mean: signs, exponents, "inf", hexadecimal.
    guard digits.first?.isASCIIDigit == true, digits.allSatisfy({ $0.isASCIIDigit || $0 == "." }),
      let number = Double(digits)
    else { return nil }
    let bytes = (number * unit.bytes).rounded()
    guard bytes >= 1, bytes <= Double(Self.largest) else { return nil }
    self.bytes = Int(bytes)
  }
}

extension Character {
  fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
