import BlockFormats
import TestSupport
import Testing

/// What follows from the layouts of formats of few bits, whatever the reference says.
@Suite("Properties of small block formats") struct SmallFormatTests {
  /// Float16 numbers, little-endian.
  private static let one: [UInt8] = [0x00, 0x3C]

  @Test(
    "A negative or doubled scale makes negative or doubled values",
    arguments: ElementType.allCases.filter { $0.scaleOffsets.count == 1 } + [.iq1_m])
  func scalesAreFactors(_ type: ElementType) throws {
    // The byte with the sign and the upper three bits of the exponent.
    let place = type == .iq1_m ? 55 : try #require(type.scaleOffsets.first) + 1
    let random = SeededWeights.values("factors/\(type.name)", count: type.bytesPerBlock)
    var block = random.map { UInt8(($0 + 1) * 127.99) }
    func values(_ upper: UInt8) -> [Float] {
      block[place] = block[place] & 0x0F | upper
      return decode(type, block, count: type.elementsPerBlock)
    }
    let plain = values(0x30)
    #expect(firstDifference(values(0xB0), plain.map { -$0 }) == nil)
    #expect(firstDifference(values(0x40), plain.map { 16 * $0 }) == nil)
    #expect(plain.contains { $0 != 0 })
  }

  @Test("Five ternary digits of a byte come back, of the last bytes four")
  func ternaryDigits() {
    var random = SeededWeights.values("digits", count: 256).map { Int(($0 + 1) * 1.4999) }
    // All digits there are, next to each other.
    random[0..<3] = [0, 1, 2]
    var block: [UInt8] = []
    for (first, bytes, digits) in [(0, 32, 5), (160, 16, 5), (240, 4, 4)] {
      for byte in 0..<bytes {
        let places = [81, 27, 9, 3, 1].prefix(digits).enumerated()
        let number = places.reduce(0) { $0 + $1.element * random[first + $1.offset * bytes + byte] }
        // The fraction of 243, rounded up.
        block.append(UInt8((number * 256 + 242) / 243))
      }
    }
    let values = decode(.tq1_0, block + Self.one, count: 256)
    #expect(values == random.map { Float($0 - 1) })
  }

  @Test("Bits and pairs of bits lie in the order of their elements")
  func bitsInOrder() {
    let codes = SeededWeights.values("bits", count: 128).map { Int(($0 + 1) * 1.9999) }
    func packed(_ width: Int) -> [UInt8] {
      let perByte = 8 / width
      return (0..<16).map { byte in
        (0..<perByte).reduce(UInt8(0)) { bits, index in
          bits | UInt8(codes[byte * perByte + index] % (1 << width)) << UInt8(width * index)
        }
      }
    }
    #expect(
      decode(.q1_0, Self.one + packed(1), count: 128) == codes.map { $0 % 2 == 1 ? 1 : -1 })
    #expect(
      decode(.q2_0, Self.one + packed(2), count: 64) == codes.prefix(64).map { Float($0 - 1) })
  }

  @Test("Eight signs of which seven are stored have an even number of minuses")
  func evenSigns() {
    for type in [ElementType.iq2_xxs, .iq2_xs, .iq3_xxs] {
      let bytes = SeededWeights.values("signs/\(type.name)", count: type.bytesPerBlock)
        .map { UInt8(($0 + 1) * 127.99) }
      var block = bytes
      block.replaceSubrange(0..<2, with: Self.one)
      let values = decode(type, block, count: 256)
      for first in stride(from: 0, to: 256, by: 8) {
        #expect(values[first..<first + 8].count { $0 < 0 } % 2 == 0, "\(type.name) \(first)")
      }
    }
  }
}
