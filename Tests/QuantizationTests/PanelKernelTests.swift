import BlockFormats
import KernelInterface
import Kernels
import LinearAlgebra
import Machine
import Quantization
import Testing

/// The kernel that rounds a panel, beside GPTQ as its paper has it: with the inverse of the
/// moments, in float64.
@Suite("Rounding a panel with error feedback")
struct PanelKernelTests {
  private static let types = BlockQuantizer.types.filter(\.isBlockQuantized)
  private let columns = 256
  private let lanes = PanelToRound.lanes

  /// Numbers from -1 to 1.
  private static func noise(_ count: Int, _ seed: UInt64) -> [Double] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(Float(state >> 40) / Float(1 << 23) - 1)
    }
  }

  /// What a panel became.
  private struct Result {
    /// `[columns, lanes]`.
    var values: [Float]
    /// `[groups, lanes]`.
    var scales: [Float]
    var offsets: [Float]
    let width: Int
  }

  /// Rounds `[columns, lanes]` values in the order that they have.
  private func round(
    _ values: [Float], _ factored: FactoredMoments, _ type: ElementType
  ) throws -> Result {
    let width = try #require(type.codeLayout?.groupWidth)
    let rowBytes = try #require(type.byteCount(elements: columns))
    let floats = [Float](repeating: 0, count: columns * lanes)
    var (pull, errors, residuals) = (floats, floats, floats)
    var codes = [UInt8](repeating: 0, count: columns * lanes)
    var record = [Float](repeating: 0, count: PanelToRound.recordFloats)
    var blocks = [UInt8](repeating: 0, count: rowBytes * lanes)
    let places = (0..<columns / width).map { Int32($0) }
    let scratch = UnsafeMutableRawPointer.allocate(
      byteCount: PanelToRound.scratchBytes, alignment: 32)
    defer { scratch.deallocate() }
    blocks.withUnsafeMutableBytes { blocks in
      guard let base = blocks.baseAddress else { return }
      var panel = PanelToRound(
        type: type, rows: lanes, columns: columns, values: values, pull: &pull, errors: &errors,
        residuals: &residuals, stride: lanes, matrix: factored.factor.block(0, 0),
        matrixStride: columns, inverseDiagonal: factored.inverseDiagonal,
        importance: factored.importance, groups: places, codes: &codes, record: &record,
        blocks: base, rowBytes: rowBytes, scratch: scratch)
      KernelSelection.current.panels.round(&panel)
      KernelSelection.current.panels.pack(&panel)
    }
    var rows = [Float](repeating: 0, count: columns * lanes)
    blocks.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { type.decode(base, count: rows.count, into: &rows) }
    }
    let groups = columns / width * lanes
    return Result(
      values: (0..<rows.count).map { rows[$0 % lanes * columns + $0 / lanes] },
      scales: Array(record[..<groups]), offsets: Array(record[16 * lanes..<16 * lanes + groups]),
      width: width)
  }

  /// The least and the largest code; nil for codes of a table.
  private func range(of type: ElementType) -> ClosedRange<Double>? {
    switch type {
    case .q4_0: -8...7
    case .q5_0: -16...15
    case .q8_0: -127...127
    case .q3_K: -4...3
    case .q6_K: -32...31
    case .q2_K: 0...3
    case .q4_1, .q4_K: 0...15
    case .q5_1, .q5_K: 0...31
    default: nil
    }
  }

  /// Moments of inputs that depend on each other.
  private func moments(_ library: OpenBLAS, on pool: ThreadPool) throws -> SecondMoments {
    let (hidden, factors) = (Self.noise(400 * 24, 1), Self.noise(24 * columns, 2))
    let rest = Self.noise(400 * columns, 3)
    let inputs = (0..<400 * columns).map { index in
      let (row, column) = (index / columns, index % columns)
      let sum = (0..<24).reduce(0.0) { $0 + hidden[row * 24 + $1] * factors[$1 * columns + column] }
      return Float(sum + rest[index])
    }
    let moments = try SecondMoments(order: (0..<Int32(columns)).map(\.self), library, on: pool)
    try moments.add(inputs, count: 400)
    return moments
  }

  /// H from its factor, which other tests compare with the inputs.
  private func square(_ factored: FactoredMoments) -> [Double] {
    let n = columns
    var result = [Double](repeating: 0, count: n * n)
    for row in 0..<n {
      for column in row..<n {
        let sum = (column..<n).reduce(0.0) {
          $0 + Double(factored.factor[row, $1]) * Double(factored.factor[column, $1])
        }
        (result[row * n + column], result[column * n + row]) = (sum, sum)
      }
    }
    return result
  }

  /// The upper triangular U with UᵀU = H⁻¹.
  private func inverseFactor(_ square: [Double]) -> [Double] {
    let n = columns
    var (left, inverse) = (square, [Double](repeating: 0, count: n * n))
    for row in 0..<n { inverse[row * n + row] = 1 }
    // Gauss and Jordan; the matrix is positive definite, so that no rows are exchanged.
    for pivot in 0..<n {
      let scale = 1 / left[pivot * n + pivot]
      for column in 0..<n {
        left[pivot * n + column] *= scale
        inverse[pivot * n + column] *= scale
      }
      for row in 0..<n where row != pivot {
        let factor = left[row * n + pivot]
        for column in 0..<n {
          left[row * n + column] -= factor * left[pivot * n + column]
          inverse[row * n + column] -= factor * inverse[pivot * n + column]
        }
      }
    }
    var factor = [Double](repeating: 0, count: n * n)
    for row in 0..<n {
      for column in row..<n {
        let sum = (0..<row).reduce(inverse[row * n + column]) {
          $0 - factor[$1 * n + row] * factor[$1 * n + column]
        }
        factor[row * n + column] =
          column == row ? sum.squareRoot() : sum / factor[row * n + row]
      }
    }
    return factor
  }

  @Test("codes are those that GPTQ chooses with the same scales and the inverse in float64")
  func gptq() throws {
    let library = try #require(OpenBLAS.shared)
    let pool = ThreadPool(threadCount: 1)
    let factored = try FactoredMoments(
      replacing: try moments(library, on: pool), damping: 0.01, library, on: pool)
    let inverse = inverseFactor(square(factored))
    let weights = Self.noise(columns * lanes, 5).map { Float(0.02 * $0) }
    for type in Self.types {
      guard let range = range(of: type) else { continue }
      let result = try round(weights, factored, type)
      var others = 0
      for lane in 0..<lanes {
        var row = (0..<columns).map { Double(weights[$0 * lanes + lane]) }
        for column in 0..<columns {
          let group = column / result.width * lanes + lane
          let (scale, offset) = (Double(result.scales[group]), Double(result.offsets[group]))
          let code = ((row[column] - offset) / scale).rounded(.toNearestOrEven)
          let wanted = min(max(code, range.lowerBound), range.upperBound) * scale + offset
          let found = Double(result.values[column * lanes + lane])
          if abs(found - wanted) > 0.01 * abs(scale) { others += 1 }
          // From here on both go on with what was stored, so that one tie is counted once.
          let error = (row[column] - found) / inverse[column * columns + column]
          for later in column + 1..<max(column + 1, columns) {
            row[later] -= error * inverse[column * columns + later]
          }
        }
      }
      // Sums in float32 decide otherwise where a value lies within 1e-5 of the middle of two codes.
      #expect(others <= columns * lanes / 1000, "\(type): \(others)")
    }
  }

  @Test("inputs that do not depend on each other ask for the nearest codes")
  func identity() throws {
    let library = try #require(OpenBLAS.shared)
    let pool = ThreadPool(threadCount: 1)
    let moments = try SecondMoments(order: (0..<Int32(columns)).map(\.self), library, on: pool)
    var unit = [Float](repeating: 0, count: columns * columns)
    for column in 0..<columns { unit[column * (columns + 1)] = 3 }
    try moments.add(unit, count: columns)
    let factored = try FactoredMoments(replacing: moments, damping: 0, library, on: pool)
    let weights = Self.noise(columns * lanes, 6).map { Float(0.02 * $0) }
    for type in Self.types {
      guard let range = range(of: type) else { continue }
      let result = try round(weights, factored, type)
      for index in weights.indices {
        let group = index / lanes / result.width * lanes + index % lanes
        let (scale, offset) = (result.scales[group], result.offsets[group])
        let code = Double((weights[index] - offset) / scale).rounded(.toNearestOrEven)
        let wanted = Float(min(max(code, range.lowerBound), range.upperBound)) * scale + offset
        // A value in the middle of two codes may go either way.
        let isNearest =
          abs(result.values[index] - wanted) <= 1e-4 * abs(scale)
          || abs(result.values[index] - weights[index]) <= 0.5001 * abs(scale)
        #expect(isNearest, "\(type), \(index)")
      }
    }
  }
}
