import Benchmarks
import BlockFormats
import Compute
import ComputeCPU
import KernelInterface
import Kernels
import Machine
import TestSupport
import Testing

/// What adapters add to weights, against sums of decoded elements.
@Suite("Updates of weights")
struct WeightUpdateTests {
  private static let rows = 60
  private static let columns = 96

  private static func weight(_ name: String, _ rows: Int, _ columns: Int) throws -> WeightMatrix {
    try WeightMatrix(
      resident: SeededWeights.values("updates/\(name)", count: rows * columns), rows: rows,
      columns: columns)
  }

  private static func values(_ name: String, _ count: Int) -> [Float] {
    SeededWeights.values("updates/\(name)", count: count)
  }

  /// Updates of every kind, of all rows and of some.
  private static func updates(_ kind: String) throws -> [WeightUpdate] {
    func lowRank(_ name: String, _ range: Range<Int>, _ rank: Int) throws -> WeightUpdate {
      WeightUpdate(
        rows: range,
        .lowRank(
          down: try weight("\(name)/down", rank, columns),
          up: try weight("\(name)/up", range.count, rank)))
    }
    switch kind {
    case "low rank": return [try lowRank("a", 0..<rows, 3)]
    case "rank 1": return [try lowRank("b", 0..<rows, 1)]
    case "parts": return [try lowRank("c", 20..<40, 17), try lowRank("d", 40..<60, 4)]
    case "dense": return [WeightUpdate(rows: 5..<35, .dense(try weight("dense", 30, columns)))]
    case "kronecker":
      return [
        WeightUpdate(
          rows: 0..<rows,
          .kronecker(
            KroneckerProduct(
              left: values("left", 5 * 8), rows: 5, columns: 8, right: try weight("right", 12, 12)))
        )
      ]
    case "rows": return [WeightUpdate(rows: 10..<30, .rowFactors(values("rows", 20)))]
    case "columns": return [WeightUpdate(rows: 10..<60, .columnFactors(values("columns", columns)))]
    default:
      return try ["low rank", "parts", "dense", "kronecker", "rows", "columns"].flatMap {
        try updates($0)
      }
    }
  }

  @Test(
    "products are those of the updated elements",
    arguments: [
      "low rank", "rank 1", "parts", "dense", "kronecker", "rows", "columns", "all",
    ], [1, 2, 37])
  func products(kind: String, count: Int) throws {
    let device = CPUDevice(threadCount: 2)
    let weight = try Self.weight("weight", Self.rows, Self.columns)
      .updated(by: Self.updates(kind))
    let bias = Self.values("bias", Self.rows)
    let x = try device.matrix(
      Self.values("x", count * Self.columns), rows: count, columns: Self.columns)
    let elements = try weight.decoded()
    let inputs = Self.values("x", count * Self.columns)
    // A weight as a whole, and cut where an update begins and within one.
    for cut in [[0..<60], [0..<13, 13..<60], [0..<20, 20..<47, 47..<60]] {
      let y = try device.matrix(rows: count, columns: Self.rows)
      try device.multiply(
        ProductInput(x),
        by: cut.map {
          Product(weight.rows($0), bias: Array(bias[$0]), into: y.columns($0))
        })
      let found = try device.read(y)
      var expected: [Float] = []
      for row in 0..<count {
        for output in 0..<Self.rows {
          var sum = Double(bias[output])
          for column in 0..<Self.columns {
            sum +=
              Double(inputs[row * Self.columns + column])
              * Double(elements[output * Self.columns + column])
          }
          expected.append(Float(sum))
        }
      }
      #expect(relativeError(found, expected) < Tolerance.network)
    }
  }

  @Test(
    "factors of low rank are as near as activations are rounded, and always the same bits",
    arguments: [ElementType.f32, .f16, .q4_0, .q2_K, .q4_K, .q6_K, .q8_0, .tq2_0],
    KernelSelection.available.map(\.name))
  func quantizedWeights(type: ElementType, set: String) throws {
    let kernels = try #require(KernelSelection.available.first { $0.name == set })
    let (rows, outputs, columns) = (37, 70, 2304)
    let stored = RandomBlocks(type, rows: outputs, columns: columns)
      .matrix(rows: outputs, columns: columns)
    // One that fills more than a panel, and one for some of the rows.
    let ranks = [(50, 0..<outputs), (3, 10..<41)]
    let factors = try ranks.map { rank, range in
      (
        down: try Self.weight("quantized/\(rank)/down", rank, columns),
        up: try Self.weight("quantized/\(rank)/up", range.count, rank), rows: range
      )
    }
    let weight = stored.updated(
      by: factors.map { WeightUpdate(rows: $0.rows, .lowRank(down: $0.down, up: $0.up)) })
    let values = Self.values("quantized/x", rows * columns)
    let x = try Matrix(values, rows: rows, columns: columns)
    var expected = [Double](repeating: 0, count: rows * outputs)
    for (down, up, range) in factors {
      let (inner, outer) = (try down.decoded(), try up.decoded())
      for row in 0..<rows {
        for rank in 0..<down.rows {
          var sum = 0.0
          for column in 0..<columns {
            sum += Double(values[row * columns + column]) * Double(inner[rank * columns + column])
          }
          for (index, output) in range.enumerated() {
            expected[row * outputs + output] += sum * Double(outer[index * down.rows + rank])
          }
        }
      }
    }
    for precision in ActivationPrecision.allCases {
      func product(_ weight: WeightMatrix, _ range: Range<Int>, threads: Int) throws -> [Float] {
        let result = try Matrix(rows: range.count, columns: outputs)
        let device = CPUDevice(threadCount: threads, activations: precision, kernels: kernels)
        try device.multiply(x.rows(range), by: weight, into: result)
        return result.values
      }
      let whole = try product(weight, 0..<rows, threads: 1)
      let plain = try product(stored, 0..<rows, threads: 1)
      let isRounded =
        ProductKind(type, precision, kernels) == .int8 && kernels.largestInt8Sum == .max
      // Uniform numbers in groups of 32 (or 16), whose largest is about 1, are rounded to 127
      // steps: 1 / 127 / √12 of 1 / √3 each, activations and factors: 0.0056.
      #expect(
        relativeError(zip(whole, plain).map { $0 - $1 }, expected.map { Float($0) })
          < (isRounded ? 0.007 : Tolerance.network), "\(precision)")
      for threads in [2, 7] { #expect(try product(weight, 0..<rows, threads: threads) == whole) }
      for range in [0..<1, 1..<3, 3..<6, 6..<20, 20..<37] {
        #expect(
          try product(weight, range, threads: 2)
            == Array(whole[range.lowerBound * outputs..<range.upperBound * outputs]),
          "\(precision), rows \(range)")
      }
    }
  }

  @Test("weights that share an input, or their first factor, change no bit of each other")
  func sharedInputs() throws {
    let device = CPUDevice(threadCount: 2)
    let (rows, outputs, columns) = (29, 48, 512)
    let down = try Self.weight("shared/down", 16, columns)
    let weights = try [ElementType.q4_K, .q4_K, .q8_0, .f16].enumerated().map { index, type in
      RandomBlocks(type, rows: outputs, columns: columns, seed: UInt64(index))
        .matrix(rows: outputs, columns: columns)
        .updated(by: [
          WeightUpdate(
            rows: 0..<outputs,
            .lowRank(
              down: index == 1 ? try Self.weight("own/down", 16, columns) : down,
              up: try Self.weight("shared/up\(index)", outputs, 16)))
        ])
    }
    let x = try device.matrix(Self.values("x", rows * columns), rows: rows, columns: columns)
    let together = try device.matrix(rows: rows, columns: weights.count * outputs)
    try device.multiply(
      ProductInput(x),
      by: weights.enumerated().map {
        Product($1, into: together.columns($0 * outputs..<($0 + 1) * outputs))
      })
    for (index, weight) in weights.enumerated() {
      let alone = try device.matrix(rows: rows, columns: outputs)
      try device.multiply(x, by: weight, into: alone)
      #expect(
        try device.read(together.columns(index * outputs..<(index + 1) * outputs))
          == (try device.read(alone)), "\(index)")
    }
  }

  @Test("rows that are made enter updates too, and threads change no bit")
  func madeRows() throws {
    var results: [[Float]] = []
    for threads in [1, 2, 5] {
      let device = CPUDevice(threadCount: threads)
      let weight = try Self.weight("weight", Self.rows, Self.columns)
        .updated(by: Self.updates("all"))
      let x = try device.matrix(
        Self.values("x", 29 * Self.columns), rows: 29, columns: Self.columns)
      let input = ProductInput.activated(.silu, x)
      let y = try device.matrix(rows: 29, columns: Self.rows)
      try device.multiply(input, by: [Product(weight, into: y)])
      results.append(try device.read(y))
      let made = try device.matrix(rows: 29, columns: Self.columns)
      try device.store(input, into: made)
      try device.multiply(made, by: weight, into: y)
      #expect(try device.read(y) == results[0])
    }
    #expect(results.allSatisfy { $0 == results[0] })
  }
}
