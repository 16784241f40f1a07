import Benchmarks
import Compute
import ComputeCPU
import Machine
import TestSupport
import Testing

@Suite("A device that hands over what enters products")
struct ProductTapTests {
  private let device = CPUDevice(threadCount: 1)
  private let columns = 64

  private func matrix(_ name: String, rows: Int) throws -> Matrix {
    try device.matrix(
      SeededWeights.values(name, count: rows * columns), rows: rows, columns: columns)
  }

  @Test("inputs arrive with the weights that they enter, in the order of use")
  func arrivals() throws {
    let weights = [3, 5].map { rows in
      RandomBlocks(.q8_0, rows: rows, columns: columns).matrix(rows: rows, columns: columns)
    }
    let x = try matrix("x", rows: 2)
    let (gate, values) = (try matrix("g", rows: 2), try matrix("v", rows: 2))
    let results = try [3, 5].map { rows in
      try device.matrix([Float](repeating: 7, count: 2 * rows), rows: 2, columns: rows)
    }
    var inputs: [[Float]] = []
    var outputs: [[Int]] = []
    let tap = ProductTap(of: device) { input, products throws(ComputeError) in
      let made = try device.matrix(rows: input.rows, columns: input.columns)
      try device.store(input, into: made)
      inputs.append(try device.read(made))
      outputs.append(products.map(\.weight.rows))
    }
    try tap.multiply(x, by: weights[0], into: results[0])
    let input = ProductInput.gated(.silu, gate, times: values)
    try tap.multiply(input, by: zip(weights, results).map { Product($0, into: $1) })
    #expect(outputs == [[3], [3, 5]])
    let expected = try device.matrix(rows: 2, columns: columns)
    try device.store(input, into: expected)
    #expect(try inputs == [device.read(x), device.read(expected)])
    for result in results { #expect(try device.read(result).allSatisfy { $0 == 7 }) }
  }

  @Test("nothing is computed, and memory is the other device's")
  func nothing() throws {
    var calls = 0
    let tap = ProductTap(of: device) { _, _ in calls += 1 }
    let (x, y) = (try matrix("x", rows: 2), try matrix("y", rows: 2))
    let before = try device.read(y)
    tap.copy(x, to: y)
    tap.store(ProductInput(x), into: y)
    tap.add(GatedUpdate(x), to: y)
    tap.apply(.silu, to: y)
    #expect(try device.read(y) == before)
    let made = try tap.matrix(rows: 2, columns: columns)
    try tap.write(before, to: made)
    #expect(try device.read(made) == before)
    #expect(try tap.read(made) == before)
    #expect(calls == 0)
  }

  @Test("an error of the listener ends the product")
  func errors() throws {
    let weight = RandomBlocks(.q8_0, rows: 3, columns: columns).matrix(rows: 3, columns: columns)
    let tap = ProductTap(of: device) { _, _ throws(ComputeError) in throw .cancelled }
    let (x, y) = (try matrix("x", rows: 2), try device.matrix(rows: 2, columns: 3))
    #expect(throws: ComputeError.self) { try tap.multiply(x, by: weight, into: y) }
  }
}
