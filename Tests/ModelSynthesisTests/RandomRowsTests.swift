import BlockFormats
import ModelSynthesis
import Testing

@Suite struct RandomRowsTests {
  /// Decoded rows.
  private func values(_ type: ElementType, _ deviation: Float, rows: Int = 64) throws -> [Float] {
    let columns = 1024
    let byteCount = try #require(type.byteCount(elements: columns))
    var bytes = [UInt8](repeating: 0, count: byteCount)
    let maker = RandomRows(type, standardDeviation: deviation)
    return (0..<rows).flatMap { row -> [Float] in
      var decoded = [Float](repeating: .nan, count: columns)
      bytes.withUnsafeMutableBytes { maker.fill($0, seed: UInt64(row)) }
      bytes.withUnsafeBytes { bytes in
        if let base = bytes.baseAddress { type.decode(base, count: columns, into: &decoded) }
      }
      return decoded
    }
  }

  @Test(
    "Decoded weights have mean 0 and the wanted standard deviation",
    arguments: RandomRows.types, [0.002, 0.02, 1] as [Float])
  func distribution(_ type: ElementType, _ deviation: Float) throws {
    let values = try values(type, deviation)
    let areFinite = values.allSatisfy(\.isFinite)
    #expect(areFinite)
    let count = Double(values.count)
    let mean = values.reduce(0.0) { $0 + Double($1) } / count
    let square = values.reduce(0.0) { $0 + Double($1) * Double($1) } / count
    let found = (square - mean * mean).squareRoot()
    #expect(abs(found / Double(deviation) - 1) < 0.05, "standard deviation \(found)")
    #expect(abs(mean) < 0.02 * Double(deviation), "mean \(mean)")
  }

  @Test(
    "Every single row is centered where a format has minimums",
    arguments: RandomRows.types.filter { $0.randomBits?.hasMinimums ?? false })
  func minimumsCenter(_ type: ElementType) throws {
    let values = try values(type, 1, rows: 1)
    #expect(abs(values.reduce(0, +) / 1024) < 0.15)
  }

  @Test("A seed decides about every byte", arguments: RandomRows.types)
  func seeds(_ type: ElementType) throws {
    let maker = RandomRows(type, standardDeviation: 0.02)
    let byteCount = try #require(type.byteCount(elements: 256))
    func row(_ seed: UInt64) -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: byteCount)
      bytes.withUnsafeMutableBytes { maker.fill($0, seed: seed) }
      return bytes
    }
    #expect(row(7) == row(7))
    #expect(row(7) != row(8))
  }
}
