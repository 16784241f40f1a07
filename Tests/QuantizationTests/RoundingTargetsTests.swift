import BlockFormats
import LinearAlgebra
import Machine
import Quantization
import Testing

/// Weights that are moved for inputs from rounded matrices, beside least squares in float64.
@Suite("Targets of rounding")
struct RoundingTargetsTests {
  private let library: OpenBLAS
  private let pool = ThreadPool(threadCount: 2)
  private let rows = 20
  private let columns = 512
  private let count = 700

  init() throws { library = try #require(OpenBLAS.shared) }

  private static func noise(_ count: Int, _ seed: UInt64) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
      (0..<12).reduce(Float(-6)) { sum, _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return sum + Float(state >> 40) / Float(1 << 24)
      }
    }
  }

  /// Exact inputs, and what rounded matrices make of them: not just noise, which nothing repairs.
  private func inputs() -> (exact: [Float], rounded: [Float]) {
    let exact = Self.noise(count * columns, 31)
    let rounded = exact.indices.map { index in
      let next = index % columns + 1 < columns ? index + 1 : index
      return 0.95 * exact[index] + 0.1 * exact[next]
    }
    return (exact, rounded)
  }

  /// Rounds weights, moved or not, and measures Σ |w x − q x~|² over rows and inputs.
  private func error(
    _ weights: [Float], _ targets: RoundingTargets?, to type: ElementType
  ) throws -> (blocks: [UInt8], error: Double) {
    let (exact, rounded) = inputs()
    let moments = try InputMoments(
      columns: columns, like: rounded, targets: targets, library, on: pool)
    var differences = zip(exact, rounded).map { $0 - $1 }
    if targets?.takesProducts == true {
      differences = (0..<count * rows).map { index in
        let (x, w) = (index / rows * columns, index % rows * columns)
        return (0..<columns).reduce(0) { $0 + differences[x + $1] * weights[w + $1] }
      }
    }
    try moments.add(rounded, differences: targets == nil ? nil : differences)
    let inputs = try #require(try moments.inputs(damping: 1e-3))
    let quantizer = try #require(try inputs.quantizer(to: type))
    var blocks = [UInt8](
      repeating: 0, count: try #require(type.byteCount(elements: weights.count)))
    var scratch = [Float](repeating: .nan, count: quantizer.scratchFloats)
    // In two calls: rows know their places.
    let half = rows / 2
    blocks.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      for first in [0, half] {
        _ = quantizer.quantize(
          Array(weights[first * columns..<(first + half) * columns]), first: first, rows: half,
          scratch: &scratch, into: base + first * bytes.count / rows)
      }
    }
    var values = [Float](repeating: 0, count: weights.count)
    blocks.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { type.decode(base, count: weights.count, into: &values) }
    }
    var sum = 0.0
    for row in 0..<rows {
      for input in 0..<count {
        var product = 0.0
        for column in 0..<columns {
          product +=
            Double(weights[row * columns + column]) * Double(exact[input * columns + column])
            - Double(values[row * columns + column]) * Double(rounded[input * columns + column])
        }
        sum += product * product
      }
    }
    return (blocks, sum)
  }

  @Test("moved weights have nearly the products of the exact inputs, in either way")
  func repairs() throws {
    let weights = Self.noise(rows * columns, 32)
    let plain = try error(weights, nil, to: .q8_0)
    let moments = try error(
      weights, try .moments(columns: columns, library, on: pool), to: .q8_0)
    let products = try error(
      weights, try .products(rows: rows, columns: columns, library, on: pool), to: .q8_0)
    // The exact inputs are a linear function of the rounded ones, up to the last column.
    #expect(moments.error < 0.01 * plain.error, "\(moments.error) and \(plain.error)")
    #expect(abs(products.error / moments.error - 1) < 0.02)
    let coarse = try error(
      weights, try .moments(columns: columns, library, on: pool), to: .q4_K)
    #expect(coarse.error < 0.6 * (try error(weights, nil, to: .q4_K).error))
  }
}
