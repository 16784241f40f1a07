import Benchmarks
import BlockFormats
import Compute
import ComputeCPU
import KernelInterface
import Kernels
import TestSupport
import Testing

@Suite("Products with stored weights") struct MatrixProductTests {
  static let types: [ElementType] = [
    .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_nl, .iq4_xs,
    .f16, .bf16, .f32, .f64, .f8_e4m3,
    .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s, .tq1_0, .tq2_0, .q1_0, .q2_0,
    .mxfp4, .nvfp4,
  ]

  @Test(
    "Every type, kernel set and precision is as near to the exact product as rounding allows",
    arguments: types, KernelSelection.available.map(\.name))
  func productsAreExact(_ type: ElementType, _ set: String) throws {
    let kernels = try #require(KernelSelection.available.first { $0.name == set })
    for (rows, outputs, blocks) in [
      (1, 1, 1), (2, 7, 2), (3, 17, 1), (4, 5, 1), (5, 48, 3), (6, 16, 1), (7, 50, 1), (8, 96, 2),
      (9, 3, 2), (10, 18, 1), (11, 4, 1), (12, 33, 1), (13, 2, 3), (14, 49, 1), (15, 6, 1),
      (16, 19, 2), (17, 53, 1), (65, 8, 9),
    ] {
      let columns = max(type.elementsPerBlock, type.codeLayout == nil ? 13 : 32) * blocks
      let weight = try StoredWeight(
        RandomBlocks(type, rows: outputs, columns: columns, seed: UInt64(rows)), outputs: outputs,
        columns: columns)
      let x = uniform(rows * columns, seed: UInt64(outputs))
      for precision in ActivationPrecision.allCases {
        let device = CPUDevice(threadCount: 2, activations: precision, kernels: kernels)
        try weight.check(x, rows: rows, on: device)
      }
    }
  }

  /// Columns of real matrices are many parts and panels; their rows are shared out over threads,
  /// and 4200 of them go through in several passes.
  @Test(
    "Shapes of full-size models are as exact, for any number of threads",
    arguments: types, KernelSelection.available.map(\.name))
  func realShapes(_ type: ElementType, _ set: String) throws {
    let kernels = try #require(KernelSelection.available.first { $0.name == set })
    for (rows, outputs, columns) in [(255, 19, 8192), (1088, 5, 3072), (1601, 2, 256)] {
      let weight = try StoredWeight(
        RandomBlocks(type, rows: outputs, columns: columns), outputs: outputs, columns: columns)
      let x = uniform(rows * columns, seed: 7)
      let checked = [0, 1, rows / 2, rows - 2, rows - 1]
      for precision in ActivationPrecision.allCases {
        let results = try [1, 2, 3].map { threads in
          try weight.check(
            x, rows: rows, checking: threads == 1 ? checked : [],
            on: CPUDevice(threadCount: threads, activations: precision, kernels: kernels))
        }
        #expect(results[1] == results[0] && results[2] == results[0], "\(precision) \(rows)")
      }
    }
  }

  @Test(
    "Results are the same bits for any number of threads and any rows beside them",
    arguments: types, KernelSelection.available.map(\.name))
  func resultsAreDeterministic(_ type: ElementType, _ set: String) throws {
    let kernels = try #require(KernelSelection.available.first { $0.name == set })
    // More than one part of the columns, the last one ragged; outputs fill no band or tile.
    let (rows, outputs, columns) = (37, 70, 2048 + type.elementsPerBlock)
    let weight = RandomBlocks(type, rows: outputs, columns: columns)
      .matrix(rows: outputs, columns: columns)
    let x = try Matrix(uniform(rows * columns, seed: 5), rows: rows, columns: columns)
    for precision in ActivationPrecision.allCases {
      func product(_ range: Range<Int>, threads: Int) throws -> [Float] {
        let result = try Matrix(rows: range.count, columns: outputs)
        let device = CPUDevice(threadCount: threads, activations: precision, kernels: kernels)
        try device.multiply(x.rows(range), by: weight, into: result)
        return result.values
      }
      let whole = try product(0..<rows, threads: 1)
      for threads in [2, 3, 7] { #expect(try product(0..<rows, threads: threads) == whole) }
      for range in [0..<1, 1..<3, 3..<6, 6..<10, 10..<11, 11..<20, 20..<37] {
        #expect(
          try product(range, threads: 2)
            == Array(whole[range.lowerBound * outputs..<range.upperBound * outputs]),
          "\(precision), rows \(range)")
      }
    }
  }

  @Test("Not-finite activations come out as not-finite results", arguments: types)
  func notFiniteIsKept(_ type: ElementType) throws {
    let columns = 256
    let weight = RandomBlocks(type, rows: 3, columns: columns).matrix(rows: 3, columns: columns)
    for kernels in KernelSelection.available {
      for value in [Float.nan, .infinity, -.infinity] {
        var x = uniform(columns, seed: 3)
        x[100] = value
        let result = try Matrix(rows: 1, columns: 3)
        try CPUDevice(threadCount: 1, kernels: kernels).multiply(
          Matrix(x, rows: 1, columns: columns), by: weight, into: result)
        #expect(result.values.allSatisfy { !$0.isFinite }, "\(type.name) \(kernels.name) \(value)")
      }
    }
  }
}
