/// The chunks of a PNG file, as far as they decide about its pixels (PNG specification 5.3 and 11).
package enum PNGChunks {
  static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
  /// Ancillary chunks that change how samples become colors, with the most bytes that one may have.
  /// The profiles that libpng knows have up to 61 kB.
  private static let decisive: [UInt32: Int] = [
    code("tRNS"): 256, code("gAMA"): 4, code("cHRM"): 32, code("sRGB"): 1, code("cICP"): 4,
    code("iCCP"): 1 << 16,
  ]

  /// The file without what does not matter to its pixels.
  ///
  /// libpng allocates what a text, palette or metadata chunk claims to have before it reads it, and
  /// inflates some of them: a file of 105 bytes asked for 1.4 GB.
  ///
  /// - Parameter file: any bytes.
  /// - Returns: signature, critical chunks and those that change colors, in their order; bytes that
  ///   are not a PNG file, unchanged.
  package static func withoutOthers(_ file: [UInt8]) -> [UInt8] {
    filtered(file) { type, length in length <= decisive[type] ?? -1 }
  }

  /// The file without any chunk that is not needed for its pixels' samples.
  ///
  /// - Parameter file: any bytes.
  /// - Returns: signature and critical chunks, in their order; bytes that are not a PNG file,
  ///   unchanged.
  static func criticalOnly(_ file: [UInt8]) -> [UInt8] { filtered(file) { _, _ in false } }

  /// The file with the critical chunks and those others that are wanted.
  private static func filtered(
    _ file: [UInt8], keeping isWanted: (_ type: UInt32, _ length: Int) -> Bool
  ) -> [UInt8] {
    guard file.starts(with: signature) else { return file }
    var result = signature
    result.reserveCapacity(file.count)
    var start = signature.count
    while file.count - start >= 8 {
      let length = Int(number(file, at: start))
      let type = number(file, at: start + 4)
      // A chunk that is cut short is left to libpng, if it would read it at all.
      let end = min(file.count, start + 12 + length)
      let isCritical = type & 0x2000_0000 == 0
      if isCritical || isWanted(type, length) {
        result.append(contentsOf: file[start..<end])
      }
      if type == code("IEND") { break }
      start = end
    }
    return result
  }

  static func number(_ bytes: [UInt8], at start: Int) -> UInt32 {
    bytes[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) }
  }

  static func code(_ type: StaticString) -> UInt32 {
    type.withUTF8Buffer { $0.reduce(0) { $0 << 8 | UInt32($1) } }
  }
}
