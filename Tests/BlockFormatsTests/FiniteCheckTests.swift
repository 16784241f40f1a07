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
    "blocks of random bytes", arguments: ElementType.allCases.filter { !$0.scaleOffsets.isEmpty })
  func blocks(_ type: ElementType) {
    // Of random half-precision numbers one in 32 is none.
    let values = SeededWeights.values("finite/\(type.name)", count: 1000 * type.bytesPerBlock)
    expectAgreement(type, values.map { UInt8(($0 + 1) * 127.99) }, atLeast: 10)
  }

  @Test("every decodable block format has its scales checked")
  func coverage() {
    for type in ElementType.allCases where type.isWeightType && type.isBlockQuantized {
      #expect(!type.scaleOffsets.isEmpty, "\(type.name)")
    }
  }
}
