import ArgumentParser

/// An amount of memory such as `2GiB`, `1.5GB` or `800000000`.
struct ByteCount: ExpressibleByArgument, Equatable {
  let bytes: Int

  init(bytes: Int) { self.bytes = bytes }

  /// A number, fractions allowed, with or without a unit: B, KB, MB, GB are powers of 1000, KiB,
  /// MiB, GiB and the short K, M, G of 1024.
  init?(argument: String) {
    let digits = argument.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let unit = argument.dropFirst(digits.count).lowercased()
    guard let number = Double(digits), let factor = Self.factors[unit] else { return nil }
    let bytes = (number * factor).rounded()
    guard bytes >= 0, bytes <= 0x1p60 else { return nil }
    self.bytes = Int(bytes)
  }

  private static let factors: [String: Double] = [
    "": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 0x1p10, "mib": 0x1p20,
    "gib": 0x1p30, "tib": 0x1p40, "k": 0x1p10, "m": 0x1p20, "g": 0x1p30, "t": 0x1p40,
  ]
}
