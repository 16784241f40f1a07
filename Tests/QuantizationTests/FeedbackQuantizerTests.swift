import BlockFormats
import KernelInterface
import Kernels
import LinearAlgebra
import Quantization
import TestSupport
import Testing

/// Rounding with error feedback, beside the same in float64.
@Suite("Quantization with the second moments of the inputs")
struct FeedbackQuantizerTests {
  static let types = BlockQuantizer.types.filter(\.isBlockQuantized)

  private let library: OpenBLAS
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

  private func moments(_ inputs: [Float]) throws -> SecondMoments {
    let moments = try SecondMoments(columns: columns, library)
    inputs.withUnsafeBufferPointer { inputs in
      if let base = inputs.baseAddress { moments.add(base, count: inputs.count / columns) }
    }
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

  @Test("the loss that is told is that of the blocks, and less than that of plain rounding")
  func losses() throws {
    let inputs = inputs(200)
    let sums = try moments(inputs)
    let exact = exactMoments(inputs, damping: 0.01)
    let weights = Self.bell(rows * columns, 7).map { 0.02 * $0 }
    let importance = sums.diagonal
    for type in Self.types {
      let quantizer = try #require(
        try FeedbackQuantizer(type: type, moments: sums, damping: 0.01, library))
      #expect(quantizer.moments.damping == 0.01)
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
    }
  }

  @Test("no other code of a column would make the rows' whole error less by more than a little")
  func minimal() throws {
    let inputs = inputs(200)
    let sums = try moments(inputs)
    let exact = exactMoments(inputs, damping: 0.01)
    let weights = Self.bell(rows * columns, 8)
    let n = columns
    for type in Self.types {
      let quantizer = try #require(
        try FeedbackQuantizer(type: type, moments: sums, damping: 0.01, library))
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
    let sums = try other.moments(inputs)
    let exact = other.exactMoments(inputs, damping: 0.01)
    let count = FeedbackQuantizer.tileRows
    let weights = Self.bell(count * other.columns, 11)
    for type in Self.types where type.elementsPerBlock == 32 {
      let quantizer = try #require(
        try FeedbackQuantizer(type: type, moments: sums, damping: 0.01, library))
      let (blocks, loss) = try other.quantize(weights, quantizer)
      let values = other.decoded(blocks, type, weights.count)
      let found = other.form(zip(weights, values).map { Double($0) - Double($1) }, exact)
      #expect(abs(found / loss.error - 1) < 1e-3, "\(type): \(found) and \(loss.error)")
    }
    #expect(try FeedbackQuantizer(type: .q4_K, moments: sums, damping: 0.01, library) == nil)
  }

  @Test("moments are what R Rᵀ gives, with more damping where they are singular")
  func factors() throws {
    let inputs = inputs(900)
    let sums = try moments(inputs)
    let order = (0..<columns).map { Int32(($0 * 5) % columns) }
    #expect(Set(order).count == columns)
    let factored = try FactoredMoments(sums, order: order, damping: 0.001, library)
    let exact = exactMoments(inputs, damping: 0.001)
    let n = columns
    for row in stride(from: 0, to: n, by: 37) {
      for column in stride(from: 0, to: n, by: 29) {
        var sum = 0.0
        for inner in max(row, column)..<n {
          sum +=
            Double(factored.factor[row * n + inner]) * Double(factored.factor[column * n + inner])
        }
        let wanted = exact[Int(order[row]) * n + Int(order[column])]
        let size =
          exact[Int(order[row]) * (n + 1)].squareRoot()
          * exact[Int(order[column]) * (n + 1)].squareRoot()
        #expect(abs(sum - wanted) < 1e-4 * size, "\(row), \(column)")
      }
    }
    // Five rows span five dimensions.
    let few = try moments(Array(inputs.prefix(5 * columns)))
    let repaired = try FactoredMoments(few, order: order, damping: 0, library)
    #expect(repaired.damping > 0 && repaired.importance.allSatisfy { $0 > 0 && $0.isFinite })
    let none = try FactoredMoments(
      try SecondMoments(columns: columns, library), order: order, damping: 0.01, library)
    #expect(none.importance.allSatisfy { $0 == 1 })
  }

  @Test("bytes depend neither on the CPU's kernels nor on the rows beside them")
  func sameBytes() throws {
    let sums = try moments(inputs(100))
    let weights = Self.bell(rows * columns, 9)
    for type in Self.types {
      var results: [[UInt8]] = []
      for kernels in KernelSelection.available {
        let quantizer = try #require(
          try FeedbackQuantizer(
            type: type, moments: sums, damping: 0.01, library, kernels: kernels))
        results.append(try quantize(weights, quantizer).blocks)
        let row = try quantize(Array(weights.suffix(columns)), quantizer).blocks
        #expect(row[...] == results[0].suffix(row.count), "\(type)")
      }
      #expect(results.allSatisfy { $0 == results[0] }, "\(type)")
    }
  }

  @Test("weights that are not finite spoil their blocks only, and zeros stay zeros")
  func notFinite() throws {
    let sums = try moments(inputs(100))
    var weights = Self.bell(rows * columns, 10)
    weights[300] = .nan
    weights[2 * columns + 5] = .infinity
    for column in 0..<columns { weights[4 * columns + column] = 0 }
    for type in Self.types {
      let quantizer = try #require(
        try FeedbackQuantizer(type: type, moments: sums, damping: 0.01, library))
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
