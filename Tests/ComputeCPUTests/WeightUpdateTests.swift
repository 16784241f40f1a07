import BlockFormats
import Compute
import ComputeCPU
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
