import Foundation
import TestSupport
import Tensors
import Testing

@Suite("Softmax and activations")
struct VectorMathTests {
  private let pool = ThreadPool(threadCount: 1)

  /// The gated activation of `values` with gates of 1.
  private func silu(_ values: [Float]) throws -> [Float] {
    let gate = try Matrix(values, rows: 1, columns: values.count)
    let ones = try Matrix(
      [Float](repeating: 1, count: values.count), rows: 1, columns: values.count)
    try applyGate(.silu, to: gate, times: ones, on: pool)
    return gate.values
  }

  @Test("SiLU is within a few units in the last place of float64")
  func accuracy() throws {
    let values = (-2000...2000).map { Float($0) / 37 }
    for (value, result) in zip(values, try silu(values)) {
      let exact = Double(value) / (1 + exp(-Double(value)))
      #expect(abs(Double(result) - exact) <= 4 * abs(exact) * 0x1p-23 + 1e-30)
    }
  }

  @Test(
    "NaN stays NaN whatever its payload",
    arguments: [0x7FC0_0000, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x7F80_0001, 0xFFC0_0100] as [UInt32])
  func notANumber(bits: UInt32) throws {
    let nan = Float(bitPattern: bits)
    #expect(try silu([1, nan, 2]).map(\.isNaN) == [false, true, false])
    // One undefined query spoils the whole row of its softmax, and so its result.
    let q = try Matrix([nan, 1, 1, 1], rows: 2, columns: 2)
    let k = try Matrix([1, 2, 3, 4], rows: 2, columns: 2)
    let result = try Matrix(rows: 2, columns: 2)
    try attend(
      q, k, k, sequences: [AttentionSequence(ranges: [0..<2])], headDimension: 2, scale: 1,
      into: result, on: pool)
    #expect(result.values.map(\.isNaN) == [true, true, false, false])
  }
}
