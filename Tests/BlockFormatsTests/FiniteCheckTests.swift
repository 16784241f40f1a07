import BlockFormats
import TestSupport
import Testing

@Suite("Finite numbers are told from others as decoding tells them")
struct FiniteCheckTests {
  /// Every number or block of some bytes, judged by itself and by its decoded values.
  private func expectAgreement(_ type: ElementType, _ bytes: [UInt8], atLeast: Int) {
    let count = bytes.count / type.bytesPerBlock
    var wrong: [Int] = []
    bytes.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      for block in 0..<count {
        let source = base + block * type.bytesPerBlock
        var values = [Float](repeating: 0, count: type.elementsPerBlock)
        type.decode(source, count: values.count, into: &values)
        let isWrong = !values.allSatisfy(\.isFinite)
        if isWrong { wrong.append(block) }
        if type.hasNonFinite(source, blocks: 1) != isWrong {
          Issue.record("\(type.name) block \(block)")
        }
      }
      let found = type.nonFiniteBlocks(base, blocks: count)
      #expect(found.first == wrong.first && found.count == wrong.count)
      #expect(type.hasNonFinite(base, blocks: count) == !wrong.isEmpty)
      #expect(type.hasNonFinite(base, blocks: wrong.first ?? 0) == false)
    }
    #expect(wrong.count >= atLeast && wrong.count < count, "\(type.name): \(wrong.count)")
  }

  @Test("all numbers of 8 and 16 bits")
  func everyNumber() {
    let bytes = (0...255).map { UInt8($0) }
    expectAgreement(.f8_e4m3, bytes, atLeast: 2)
    expectAgreement(.f8_e5m2, bytes, atLeast: 8)
    let words = (0...65_535).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
    expectAgreement(.f16, words, atLeast: 2048)
    expectAgreement(.bf16, words, atLeast: 256)
  }

  @Test("numbers of 32 and 64 bits around every limit")
  func wideNumbers() {
    let floats: [Float] = [
      0, -0.0, 1, -.greatestFiniteMagnitude, .greatestFiniteMagnitude, .infinity, -.infinity, .nan,
      .leastNonzeroMagnitude, Float(bitPattern: 0x7F80_0001), Float(bitPattern: 0xFFFF_FFFF),
      Float(bitPattern: 0x7F7F_FFFF),
    ]
    expectAgreement(.f32, floats.withUnsafeBytes { Array($0) }, atLeast: 5)
    // The middle between the largest float32 and what would follow rounds up.
    let middle = Double(Float.greatestFiniteMagnitude) + 0x1p103
    let doubles: [Double] = [
      0, -1, 1e300, -1e300, .infinity, -.infinity, .nan, .greatestFiniteMagnitude,
      Double(Float.greatestFiniteMagnitude), middle, middle.nextDown, -middle, -middle.nextUp,
      0x1p128, .leastNonzeroMagnitude,
    ]
    expectAgreement(.f64, doubles.withUnsafeBytes { Array($0) }, atLeast: 9)
  }

  @Test(
    "blocks of random bytes",
    arguments: ElementType.allCases.filter { $0.isWeightType && $0.isBlockQuantized })
  func blocks(_ type: ElementType) {
    let values = SeededWeights.values("finite/\(type.name)", count: 1000 * type.bytesPerBlock)
    // Of random half-precision numbers one in 32 is none, of random exponents three in 256 are too
    // large for some code; NVFP4 has no number that is not finite.
    let least = type == .nvfp4 ? 0 : type == .mxfp4 ? 5 : 10
    expectAgreement(type, values.map { UInt8(($0 + 1) * 127.99) }, atLeast: least)
  }

  @Test("MXFP4 blocks with large exponents, whichever element is too large")
  func largeExponents() {
    var blocks: [UInt8] = []
    for exponent in 250...255 as ClosedRange<UInt8> {
      for code in 0..<16 as Range<UInt8> {
        blocks += [exponent] + [UInt8](repeating: code << 4 | code, count: 16)
        for byte in 0..<16 {
          for nibbles in [code, code << 4] {
            var codes = [UInt8](repeating: 0x19, count: 16)
            codes[byte] = nibbles
            blocks += [exponent] + codes
          }
        }
      }
    }
    // 4, 8 and 12 of 16 codes are too large.
    expectAgreement(.mxfp4, blocks, atLeast: 33 * 24)
  }

  @Test("all scales of NVFP4 are finite")
  func nvfp4Scales() {
    let block = [UInt8](repeating: 0x77, count: 32)
    let blocks = (0...255).flatMap { [UInt8](repeating: UInt8($0), count: 4) + block }
    expectAgreement(.nvfp4, blocks, atLeast: 0)
  }
}
