import BlockFormats
import KernelInterface
import Kernels
import LinearAlgebra
import Machine
import Quantization
import TestSupport
import Testing

/// Rounding with error feedback, beside the same in float64.
@Suite("Quantization with the second moments of the inputs")
struct FeedbackQuantizerTests {
  static let types = BlockQuantizer.types.filter(\.isBlockQuantized)

  private let library: OpenBLAS
  private let pool = ThreadPool(threadCount: 2)
  private let rows = 13
  private var columns = 768

  init() throws { library = try #require(OpenBLAS.shared) }

  /// Values near a normal distribution, from -6 to 6.
  private static func bell(_ count: Int, _ seed: UInt64) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
      (0..<12).reduce(Float(-6)) { sum, _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return sum + Float(state >> 40) / Float(1 << 24)
      }
    }
  }

  /// Rows of inputs that depend on each other and differ in size.
  private func inputs(_ count: Int) -> [Float] {
    let factors = Self.bell(40 * columns, 3)
    let sizes = Self.bell(columns, 4)
    let hidden = Self.bell(count * 40, 5)
    let noise = Self.bell(count * columns, 6)
    return (0..<count * columns).map { index in
      let (row, column) = (index / columns, index % columns)
      let sum = (0..<40).reduce(Float(0)) {
        $0 + hidden[row * 40 + $1] * factors[$1 * columns + column]
      }
      return (sum + 0.5 * noise[index]) * (0.1 + sizes[column].magnitude)
    }
  }

  private func linear(
    _ inputs: [Float], damping: Double = 0.01, threads: Int = 2
  ) throws -> LinearInputs {
    try #require(
      LinearInputs(
        rows: inputs, columns: columns, damping: damping, on: ThreadPool(threadCount: threads)))
  }

  /// Moments with their columns in an order.
  private func moments(_ inputs: [Float], _ order: [Int32]) throws -> SecondMoments {
    let moments = try SecondMoments(order: order, library, on: pool)
    let ordered = (0..<inputs.count).map { index in
      inputs[index / columns * columns + Int(order[index % columns])]
    }
    try moments.add(ordered, count: inputs.count / columns)
    return moments
  }

  /// H of the damped moments in float64, from the inputs themselves.
  private func exactMoments(_ inputs: [Float], damping: Double) -> [Double] {
    var sums = [Double](repeating: 0, count: columns * columns)
    for row in 0..<inputs.count / columns {
      let x = inputs[row * columns..<(row + 1) * columns].map(Double.init)
      for first in 0..<columns {
        for second in 0..<columns { sums[first * columns + second] += x[first] * x[second] }
      }
    }
    let mean = (0..<columns).reduce(0) { $0 + sums[$1 * (columns + 1)] } / Double(columns)
    for column in 0..<columns { sums[column * (columns + 1)] += damping * mean }
    return sums
  }

  private func quantize(
    _ values: [Float], _ quantizer: FeedbackQuantizer
  ) throws -> (blocks: [UInt8], loss: FeedbackQuantizer.Loss) {
    let bytes = try #require(quantizer.type.byteCount(elements: values.count))
    var blocks = [UInt8](repeating: 0, count: bytes)
    var scratch = [Float](repeating: .nan, count: quantizer.scratchFloats)
    let loss = blocks.withUnsafeMutableBytes { blocks in
      guard let base = blocks.baseAddress else { return FeedbackQuantizer.Loss() }
      return quantizer.quantize(
        values, rows: values.count / columns, scratch: &scratch, into: base, measuresEnergy: true)
    }
    return (blocks, loss)
  }

  private func decoded(_ blocks: [UInt8], _ type: ElementType, _ count: Int) -> [Float] {
    var values = [Float](repeating: 0, count: count)
    blocks.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { type.decode(base, count: count, into: &values) }
    }
    return values
  }

  /// Σ x H xᵀ over rows.
  private func form(_ x: [Double], _ moments: [Double]) -> Double {
    var sum = 0.0
    for row in 0..<x.count / columns {
      let values = Array(x[row * columns..<(row + 1) * columns])
      for (first, value) in values.enumerated() where value != 0 {
        var product = 0.0
        for (second, other) in values.enumerated() {
          product += moments[first * columns + second] * other
        }
        sum += value * product
      }
    }
    return sum
  }

  @Test("the loss that is told is that of the blocks, less than plain rounding's, and less at best")
  func losses() throws {
    let inputs = inputs(200)
    let known = try linear(inputs)
    let exact = exactMoments(inputs, damping: 0.01)
    let weights = Self.bell(rows * columns, 7).map { 0.02 * $0 }
    let importance = (0..<columns).map { Float(exact[$0 * (columns + 1)]) }
    for type in Self.types {
      let quantizer = try #require(try known.quantizer(to: type))
      #expect(quantizer.damping == 0.01)
      let (blocks, loss) = try quantize(weights, quantizer)
      func error(_ blocks: [UInt8]) -> Double {
        form(
          zip(weights, decoded(blocks, type, weights.count)).map { Double($0) - Double($1) }, exact)
      }
      // Sums in float32 of some hundred terms.
      let found = error(blocks)
      #expect(abs(found / loss.error - 1) < 1e-3, "\(type): \(found) and \(loss.error)")
      let energy = form(weights.map(Double.init), exact)
      #expect(abs(energy / loss.energy - 1) < 1e-4, "\(type)")
      var plain = [UInt8](repeating: 0, count: blocks.count)
      try #require(BlockQuantizer(type: type)).quantize(weights, columns, importance, &plain)
      let before = error(plain)
      #expect(found < 0.6 * before, "\(type): \(found) and \(before)")
      let best = try #require(try known.quantizer(to: type, quality: .best))
      let (others, least) = try quantize(weights, best)
      let reached = error(others)
      #expect(abs(reached / least.error - 1) < 1e-3, "\(type): \(reached) and \(least.error)")
      #expect(reached < found, "\(type): \(reached) and \(found)")
    }
  }

  @Test("no other code of a column would make the rows' whole error less by more than a little")
  func minimal() throws {
    let inputs = inputs(200)
    let known = try linear(inputs)
    let exact = exactMoments(inputs, damping: 0.01)
    let weights = Self.bell(rows * columns, 8)
    let n = columns
    for type in Self.types {
      let quantizer = try #require(try known.quantizer(to: type))
      let values = decoded(try quantize(weights, quantizer).blocks, type, weights.count)
      let width = type.codeLayout?.groupWidth ?? 32
      var (better, gain, loss) = (0, 0.0, 0.0)
      for row in 0..<rows {
        let errors = (0..<n).map { Double(weights[row * n + $0]) - Double(values[row * n + $0]) }
        let pulls = (0..<n).map { column in
          (0..<n).reduce(0) { $0 + errors[$1] * exact[$1 * n + column] }
        }
        loss += zip(errors, pulls).reduce(0) { $0 + $1.0 * $1.1 }
        for column in 0..<n {
          let group = row * n + column / width * width
          let found =
            values[group..<group + width].map { value in
              let change = Double(value) - Double(values[row * n + column])
              return 2 * change * pulls[column] - exact[column * (n + 1)] * change * change
            }.max() ?? 0
          if found > 1e-6 * loss / Double(n) { better += 1 }
          gain += max(0, found)
        }
      }
      // Two sweeps leave few columns that the changes of others gave another optimum.
      #expect(better < rows * n / 20 && gain < 0.05 * loss, "\(type): \(better), \(gain / loss)")
    }
  }

  @Test("rows that do not fill a panel, and tiles that are full")
  func shapes() throws {
    var other = self
    other.columns = 288
    let inputs = other.inputs(100)
    let known = try other.linear(inputs)
    let exact = other.exactMoments(inputs, damping: 0.01)
    let count = FeedbackQuantizer.tileRows
    let weights = Self.bell(count * other.columns, 11)
    for type in Self.types where type.elementsPerBlock == 32 {
      let quantizer = try #require(try known.quantizer(to: type))
      let (blocks, loss) = try other.quantize(weights, quantizer)
      let values = other.decoded(blocks, type, weights.count)
      let found = other.form(zip(weights, values).map { Double($0) - Double($1) }, exact)
      #expect(abs(found / loss.error - 1) < 1e-3, "\(type): \(found) and \(loss.error)")
    }
    #expect(try known.quantizer(to: .q4_K) == nil)
    #expect(try known.quantizer(to: .f16) == nil)
  }

  @Test("moments are what R Rᵀ gives, with more damping where they are singular")
  func factors() throws {
    let inputs = inputs(900)
    let order = (0..<columns).map { Int32(($0 * 5) % columns) }
    #expect(Set(order).count == columns)
    let factored = try FactoredMoments(
      replacing: try moments(inputs, order), damping: 0.001, library, on: pool)
    let exact = exactMoments(inputs, damping: 0.001)
    let n = columns
    for row in stride(from: 0, to: n, by: 37) {
      for column in stride(from: 0, to: n, by: 29) {
        var sum = 0.0
        for inner in max(row, column)..<n {
          sum += Double(factored.factor[row, inner]) * Double(factored.factor[column, inner])
        }
        let wanted = exact[Int(order[row]) * n + Int(order[column])]
        let size =
          exact[Int(order[row]) * (n + 1)].squareRoot()
          * exact[Int(order[column]) * (n + 1)].squareRoot()
        #expect(abs(sum - wanted) < 1e-4 * size, "\(row), \(column)")
      }
    }
    // Five rows span five dimensions.
    let few = try moments(Array(inputs.prefix(5 * columns)), order)
    let repaired = try FactoredMoments(replacing: few, damping: 0, library, on: pool)
    #expect(repaired.damping > 0 && repaired.importance.allSatisfy { $0 > 0 && $0.isFinite })
    let none = try FactoredMoments(
      replacing: try SecondMoments(order: order, library, on: pool), damping: 0.01, library,
      on: pool)
    #expect(none.importance.allSatisfy { $0 == 1 })
  }

  @Test("columns are solved for the moments")
  func solves() throws {
    let inputs = inputs(300)
    let order = (0..<columns).map { Int32($0) }
    let factored = try FactoredMoments(
      replacing: try moments(inputs, order), damping: 0.05, library, on: pool)
    let exact = exactMoments(inputs, damping: 0.05)
    let wanted = Self.bell(columns * 3, 21)
    // H z for three columns z.
    var columnsOfH = (0..<columns * 3).map { place in
      Float(
        (0..<columns).reduce(0.0) {
          $0 + exact[place / 3 * columns + $1] * Double(wanted[$1 * 3 + place % 3])
        })
    }
    factored.solve(&columnsOfH, count: 3)
    // The condition is below 1e4; float32 leaves about seven digits less four.
    for (found, wanted) in zip(columnsOfH, wanted) { #expect(abs(found - wanted) < 2e-2) }
  }

  @Test(
    "bytes depend neither on threads, the CPU's kernels nor the rows beside them",
    arguments: QuantizationQuality.allCases)
  func sameBytes(_ quality: QuantizationQuality) throws {
    let inputs = inputs(100)
    let (known, alone) = (try linear(inputs), try linear(inputs, threads: 1))
    let weights = Self.bell(rows * columns, 9)
    for type in Self.types {
      var results: [[UInt8]] = []
      for kernels in KernelSelection.available {
        let quantizer = try #require(
          try known.quantizer(to: type, quality: quality, kernels: kernels))
        results.append(try quantize(weights, quantizer).blocks)
        let row = try quantize(Array(weights.suffix(columns)), quantizer).blocks
        #expect(row[...] == results[0].suffix(row.count), "\(type)")
      }
      let other = try #require(try alone.quantizer(to: type, quality: quality))
      results.append(try quantize(weights, other).blocks)
      #expect(results.allSatisfy { $0 == results[0] }, "\(type)")
    }
  }

  @Test(
    "weights that are not finite spoil their blocks only, and zeros stay zeros",
    arguments: QuantizationQuality.allCases)
  func notFinite(_ quality: QuantizationQuality) throws {
    let known = try linear(inputs(100))
    var weights = Self.bell(rows * columns, 10)
    weights[300] = .nan
    weights[2 * columns + 5] = .infinity
    for column in 0..<columns { weights[4 * columns + column] = 0 }
    for type in Self.types {
      let quantizer = try #require(try known.quantizer(to: type, quality: quality))
      let values = decoded(try quantize(weights, quantizer).blocks, type, weights.count)
      let block = type.elementsPerBlock
      for (index, value) in values.enumerated() {
        let isSpoilt = [300, 2 * columns + 5].contains { index / block == $0 / block }
        #expect(value.isFinite != isSpoilt, "\(type), \(index)")
      }
      #expect(values[4 * columns..<5 * columns].allSatisfy { $0 == 0 }, "\(type)")
    }
  }
}

extension BlockQuantizer {
  fileprivate func quantize(
    _ values: [Float], _ columns: Int, _ importance: [Float], _ blocks: inout [UInt8]
  ) {
    values.withUnsafeBufferPointer { values in
      importance.withUnsafeBufferPointer { importance in
        blocks.withUnsafeMutableBytes {
          quantize(values, columns: columns, importance: importance, into: $0)
        }
      }
    }
  }
}
