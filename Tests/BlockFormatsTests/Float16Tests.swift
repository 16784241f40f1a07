import BlockFormats
import Testing

@Suite struct Float16Tests {
  /// Every bit pattern of 16 bits, little-endian.
  private let allCodes: [UInt8] = (0..<65_536).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }

  @Test("All 65,536 codes equal Swift's Float16")
  func allCodesAreExact() {
    let expected = (0..<65_536).map { Float(Float16(bitPattern: UInt16($0))) }
    #expect(firstDifference((0..<65_536).map { Float16Bits.float(UInt16($0)) }, expected) == nil)
    #expect(firstDifference(decode(.f16, allCodes, count: 65_536), expected) == nil)
    #expect(firstDifference(decode(.f16, allCodes, count: 65_536, shift: 1), expected) == nil)
  }

  @Test("Rows of any length decode alike", arguments: 0...17)
  func rowsOfAnyLengthDecode(_ count: Int) {
    // Subnormal and normal numbers lie around this code.
    let start = 2 * 0x03F8
    let codes = Array(allCodes[start..<start + 2 * count])
    let expected = (0..<count).map { Float(Float16(bitPattern: UInt16(0x03F8 + $0))) }
    #expect(decode(.f16, codes, count: count) == expected)
  }

  @Test("NaNs keep sign and payload on both paths")
  func nansKeepTheirPayload() {
    let expected: [UInt32] = [0x7FC0_0000, 0xFFC0_2000, 0x7F80_2000, 0xFFFF_E000]
    let codes: [UInt16] = [0x7E00, 0xFE01, 0x7C01, 0xFFFF]
    #expect(codes.map { Float16Bits.float($0).bitPattern } == expected)
    let bytes = (codes + codes).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
    let values = decode(.f16, bytes, count: 8)
    #expect(values.map(\.bitPattern) == expected + expected)
  }

  @Test("All bfloat16 codes are the upper halves of float32")
  func allBFloatCodesAreExact() {
    let values = decode(.bf16, allCodes, count: 65_536, shift: 1)
    #expect(values.map(\.bitPattern) == (0..<65_536).map { UInt32($0) << 16 })
  }
}
