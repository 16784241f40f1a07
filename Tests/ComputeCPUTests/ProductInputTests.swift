import Benchmarks
import BlockFormats
import Compute
import ComputeCPU
import Foundation
import KernelInterface
import Kernels
import TestSupport
import Testing

@Suite("Inputs that are made while they are packed")
struct ProductInputTests {
  /// Types of every kind of product.
  static let types: [ElementType] = [.q4_0, .q4_K, .q8_0, .f16]
  /// One row and a few (which have a way of their own), whole and ragged tiles, several passes.
  static let rowCounts = [1, 2, 13, 37, 1200]

  private let columns = 512

  private func matrix(_ name: String, rows: Int, columns: Int) throws -> Matrix {
    try Matrix(
      SeededWeights.values(name, count: rows * columns), rows: rows, columns: columns)
  }

  /// Every way to make rows, each with the same rows stored.
  private func inputs(
    rows: Int, modulation: Matrix, on device: CPUDevice
  ) throws -> [(made: ProductInput, stored: Matrix)] {
    let (x, values) = (
      try matrix("x", rows: rows, columns: columns), try matrix("v", rows: rows, columns: columns)
    )
    let made: [ProductInput] = [
      .modulated(x, scale: modulation.rows(0..<1), shift: modulation.rows(1..<2), epsilon: 1e-5),
      .modulated(
        x, adding: GatedUpdate(values, gate: modulation.rows(1..<2)), scale: modulation.rows(0..<1),
        shift: modulation.rows(1..<2), epsilon: 1e-5),
      .modulated(
        x, .none, scale: modulation.rows(0..<1), shift: modulation.rows(1..<2), epsilon: 0),
      .rootMeanSquare(x, weight: modulation.rows(0..<1).values, epsilon: 1e-6),
      .gated(.silu, x, times: values), .gated(.geluTanh, x, times: values),
      .normalized(
        x, weight: modulation.rows(0..<1).values, bias: modulation.rows(1..<2).values,
        epsilon: 1e-5), .activated(.geluQuick, x),
      .joined(x.columns(0..<200), .geluTanh, values.columns(200..<columns)),
    ]
    return try made.map { input in
      let stored = try Matrix(rows: rows, columns: columns)
      try device.store(input, into: stored)
      return (input, stored)
    }
  }

  @Test("products are the same bits as with stored rows", arguments: types, rowCounts)
  func sameAsStored(_ type: ElementType, rows: Int) throws {
    let weight = RandomBlocks(type, rows: 70, columns: columns).matrix(rows: 70, columns: columns)
    let modulation = try matrix("m", rows: 2, columns: columns)
    for kernels in KernelSelection.available where rows < 100 || kernels.name != "portable" {
      let device = CPUDevice(threadCount: 2, kernels: kernels)
      for (made, stored) in try inputs(rows: rows, modulation: modulation, on: device) {
        let (found, expected) = (
          try Matrix(rows: rows, columns: 70), try Matrix(rows: rows, columns: 70)
        )
        try device.multiply(stored, by: weight, into: expected)
        try device.multiply(made, by: [Product(weight, into: found)])
        #expect(found.values == expected.values, "\(kernels.name)")
      }
    }
  }

  @Test("made rows are what their formulas say")
  func formulas() throws {
    let (x, values) = (
      try matrix("x", rows: 1, columns: 512), try matrix("v", rows: 1, columns: 512)
    )
    let modulation = try matrix("m", rows: 2, columns: columns)
    let device = CPUDevice(threadCount: 1)
    let inputs = try inputs(rows: 1, modulation: modulation, on: device)
    let (scale, shift) = (doubles(modulation, row: 0), doubles(modulation, row: 1))
    func layerNorm(_ x: [Double]) -> [Double] {
      let mean = x.reduce(0, +) / 512
      let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 512
      return x.map { ($0 - mean) / (variance + 1e-5).squareRoot() }
    }
    func modulated(_ x: [Double]) -> [Double] {
      (0..<512).map { x[$0] * (1 + scale[$0]) + shift[$0] }
    }
    let (a, b) = (doubles(x, row: 0), doubles(values, row: 0))
    let square = a.reduce(0) { $0 + $1 * $1 } / 512
    func gelu(_ x: Double) -> Double {
      x / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }
    let expected = [
      modulated(layerNorm(a)), modulated(layerNorm((0..<512).map { a[$0] + b[$0] * shift[$0] })),
      modulated(a), (0..<512).map { a[$0] / (square + 1e-6).squareRoot() * scale[$0] },
      (0..<512).map { a[$0] / (1 + exp(-a[$0])) * b[$0] },
      (0..<512).map { gelu(a[$0]) * b[$0] },
      zip(layerNorm(a), zip(scale, shift)).map { $0 * $1.0 + $1.1 },
      a.map { $0 / (1 + exp(-1.702 * $0)) },
      (0..<512).map { $0 < 200 ? a[$0] : gelu(b[$0]) },
    ]
    #expect(inputs.count == expected.count)
    for (index, (input, exact)) in zip(inputs, expected).enumerated() {
      for (found, exact) in zip(doubles(input.stored, row: 0), exact) {
        // A few roundings of numbers up to 8.
        #expect(abs(found - exact) <= 8 * 8 * 0x1p-24, "input \(index)")
      }
    }
  }

  private func doubles(_ matrix: Matrix, row: Int) -> [Double] {
    (0..<matrix.columns).map { Double(matrix.row(row)[$0]) }
  }

  /// Two segments of one weight, of two types, with factors on its elements.
  private func weight(
    _ types: (ElementType, ElementType), scale: WeightScale = .one
  ) -> WeightMatrix {
    let segments = [types.0, types.1].enumerated().flatMap { index, type in
      RandomBlocks(type, rows: 30 + index, columns: columns, seed: UInt64(index + 1))
        .matrix(rows: 30 + index, columns: columns).segments
    }
    return WeightMatrix(segments: segments, columns: columns, scale: scale)
  }

  @Test("some rows of a weight give the same columns of a product, across its segments")
  func someRows() throws {
    let x = try matrix("x", rows: 9, columns: columns)
    for scale in [WeightScale.one, .rows((0..<61).map { Float($0) / 8 - 2 })] {
      let whole = weight((.q4_K, .q8_0), scale: scale)
      for kernels in KernelSelection.available {
        let device = CPUDevice(threadCount: 2, kernels: kernels)
        let expected = try Matrix(rows: 9, columns: 61)
        try device.multiply(x, by: whole, into: expected)
        for rows in [0..<61, 0..<1, 7..<30, 29..<31, 30..<61, 5..<5] {
          let result = try Matrix(rows: 9, columns: rows.count)
          try device.multiply(x, by: whole.rows(rows), into: result)
          #expect(result.values == expected.columns(rows).values, "\(kernels.name), \(rows)")
        }
      }
    }
  }

  @Test("factors of rows meet their rows, in products and where weights are decoded")
  func rowFactors() throws {
    let x = try matrix("x", rows: 9, columns: columns)
    let factors = (0..<61).map { Float($0) / 8 - 2 }
    let scaled = weight((.f8_e4m3, .q5_0), scale: .rows(factors))
    let plain = weight((.f8_e4m3, .q5_0))
    let (values, expected) = (try scaled.decoded(), try plain.decoded())
    for kernels in KernelSelection.available {
      let device = CPUDevice(threadCount: 2, kernels: kernels)
      let result = try Matrix(rows: 9, columns: 61)
      try device.multiply(x, by: scaled, into: result)
      let decoded = try Matrix(rows: 61, columns: columns)
      try scaled.decode(into: decoded, on: device)
      for row in 0..<61 {
        var sums = [Double](repeating: 0, count: 9)
        var size = 0.0
        for column in 0..<columns {
          let value = expected[row * columns + column] * factors[row]
          #expect(values[row * columns + column] == value)
          #expect(decoded.row(row)[column] == value)
          size += abs(Double(value))
          for index in 0..<9 { sums[index] += Double(value) * Double(x.row(index)[column]) }
        }
        for index in 0..<9 {
          // Each product and each sum is rounded in float32.
          let largest = (0..<columns).map { abs(Double(x.row(index)[$0])) }.max() ?? 0
          let bound = size * largest * Double(columns) * 0x1p-24
          #expect(abs(Double(result.row(index)[row]) - sums[index]) <= bound)
        }
      }
    }
  }

  @Test("products together are the same bits as each by itself", arguments: rowCounts)
  func together(rows: Int) throws {
    let x = try matrix("x", rows: rows, columns: columns)
    // Neighbours that share packed rows, and others that cannot.
    let weights = [
      weight((.q4_0, .q5_0)), weight((.q8_0, .q4_K)), weight((.q5_K, .f16)),
      weight((.q4_0, .f16), scale: .all(0.5)),
    ]
    for kernels in KernelSelection.available where rows < 100 || kernels.name != "portable" {
      let device = CPUDevice(threadCount: 2, kernels: kernels)
      let results = try weights.map { try Matrix(rows: rows, columns: $0.rows) }
      let bias = SeededWeights.values("bias", count: 61)
      try device.multiply(
        ProductInput(x), by: zip(weights, results).map { Product($0, bias: bias, into: $1) })
      for (weight, result) in zip(weights, results) {
        let alone = try Matrix(rows: rows, columns: weight.rows)
        try device.multiply(x, by: weight, bias: bias, into: alone)
        #expect(result.values == alone.values, "\(kernels.name)")
        // Each segment is a weight too.
        var first = 0
        for segment in weight.segments {
          let part = try Matrix(rows: rows, columns: segment.rows)
          try device.multiply(
            x, by: WeightMatrix(segments: [segment], columns: columns, scale: weight.scale),
            bias: Array(bias[first..<first + segment.rows]), into: part)
          let outputs = result.columns(first..<first + segment.rows)
          #expect(part.values == outputs.values, "\(kernels.name)")
          first += segment.rows
        }
      }
    }
  }

  @Test("weights that take activations alike share one packing")
  func sharing() throws {
    let x = try matrix("x", rows: 40, columns: columns)
    let calls = Counter()
    let kernels = KernelSelection.available[0].counting(calls)
    let device = CPUDevice(threadCount: 1, kernels: kernels)
    func rounded(_ types: [ElementType]) throws -> Int {
      let before = calls.value
      let products = try types.map { type in
        Product(
          RandomBlocks(type, rows: 20, columns: columns).matrix(rows: 20, columns: columns),
          into: try Matrix(rows: 40, columns: 20))
      }
      try device.multiply(ProductInput(x), by: products)
      return calls.value - before
    }
    let once = try rounded([.q4_0])
    #expect(once > 0)
    #expect(try rounded([.q4_0, .q4_0, .q4_0]) == once)
    #expect(try rounded([.q4_0, .q5_0]) == once)
    #expect(try rounded([.q4_K, .q5_K]) == once)
    // Groups of 16, and sums that others do not need.
    #expect(try rounded([.q4_0, .q6_K]) == 2 * once)
    #expect(try rounded([.q4_0, .q4_1]) == 2 * once)
  }
}

extension KernelSet {
  /// The same kernels, which count calls of `roundToInt8`.
  fileprivate func counting(_ calls: Counter) -> KernelSet {
    KernelSet(
      name: name, rowTile: rowTile, columnTile: columnTile, panelBytes: panelBytes,
      largestInt8Sum: largestInt8Sum, multiplyFloats: multiplyFloats, multiplyInt8: multiplyInt8,
      multiplyInt8Blocks: multiplyInt8Blocks, multiplyInt16: multiplyInt16,
      multiplyRow: multiplyRow, continueSoftmax: continueSoftmax, transpose: transpose,
      unpack: unpack, decode: decode,
      roundToInt8: { row in
        calls.value += 1
        roundToInt8(row)
      }, roundToInt16: roundToInt16, roundRows: roundRows,
      panels: panels, elementwise: elementwise,
      runPeakLoop: runPeakLoop)
  }
}
