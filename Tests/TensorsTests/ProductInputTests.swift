import Benchmarks
import BlockFormats
import KernelInterface
import Kernels
import TestSupport
import Tensors
import Testing

@Suite("Inputs that are made while they are packed")
struct ProductInputTests {
  /// Types of every kind of product, and one with a factor on all elements would be like `f16`.
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
    rows: Int, modulation: Matrix, on pool: ThreadPool
  ) throws -> [(made: ProductInput, stored: Matrix)] {
    let (x, values) = (
      try matrix("x", rows: rows, columns: columns), try matrix("v", rows: rows, columns: columns)
    )
    let made: [ProductInput] = [
      .modulated(x, scale: modulation.row(0), shift: modulation.row(1), epsilon: 1e-5),
      .modulated(
        x, adding: GatedUpdate(values, gate: modulation.row(1)), scale: modulation.row(0),
        shift: modulation.row(1), epsilon: 1e-5),
      .modulated(x, .none, scale: modulation.row(0), shift: modulation.row(1), epsilon: 0),
      .rootMeanSquare(x, weight: modulation.rows(0..<1).values, epsilon: 1e-6),
      .gated(.silu, x, times: values), .gated(.geluTanh, x, times: values),
    ]
    return try made.map { input in
      let stored = try Matrix(rows: rows, columns: columns)
      try input.store(into: stored, on: pool)
      return (input, stored)
    }
  }

  @Test("products are the same bits as with stored rows", arguments: types, rowCounts)
  func sameAsStored(_ type: ElementType, rows: Int) throws {
    let weight = RandomBlocks(type, rows: 70, columns: columns).matrix(rows: 70, columns: columns)
    let modulation = try matrix("m", rows: 2, columns: columns)
    for kernels in KernelSelection.available where rows < 100 || kernels.name != "portable" {
      let pool = ThreadPool(threadCount: 2, kernels: kernels)
      for (made, stored) in try inputs(rows: rows, modulation: modulation, on: pool) {
        let (found, expected) = (
          try Matrix(rows: rows, columns: 70), try Matrix(rows: rows, columns: 70)
        )
        try multiply(stored, by: weight, into: expected, on: pool)
        try multiply(made, by: [Product(weight, into: found)], on: pool)
        #expect(found.values == expected.values, "\(kernels.name)")
      }
    }
  }

  @Test("products together are the same bits as each by itself", arguments: rowCounts)
  func together(rows: Int) throws {
    let x = try matrix("x", rows: rows, columns: columns)
    // Neighbours that share packed rows, and others that cannot.
    let types: [ElementType] = [.q4_0, .q4_0, .q8_0, .q4_K, .f16, .q4_K]
    let weights = types.enumerated().map { index, type in
      RandomBlocks(type, rows: 40 + index, columns: columns, seed: UInt64(index + 1))
        .matrix(rows: 40 + index, columns: columns)
    }
    for kernels in KernelSelection.available where rows < 100 || kernels.name != "portable" {
      let pool = ThreadPool(threadCount: 2, kernels: kernels)
      let results = try weights.map { try Matrix(rows: rows, columns: $0.rows) }
      try multiply(
        ProductInput(x), by: zip(weights, results).map { Product($0, into: $1) }, on: pool)
      for (weight, result) in zip(weights, results) {
        let alone = try Matrix(rows: rows, columns: weight.rows)
        try multiply(x, by: weight, into: alone, on: pool)
        #expect(result.values == alone.values, "\(kernels.name)")
      }
    }
  }
}
