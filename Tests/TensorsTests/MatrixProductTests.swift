import Benchmarks
import BlockFormats
import KernelInterface
import Kernels
import Tensors
import TestSupport
import Testing

/// A product in float64 and how far a kernel may be from it.
private struct Oracle {
  var value = 0.0
  var tolerance = 0.0

  /// - Parameters:
  ///   - x: one row of activations.
  ///   - weights: one row of the weight, decoded.
  ///   - spans: for each element, the magnitude of what multiplies its rounded activation.
  ///   - largest: the largest activation code, or nil if activations are not rounded.
  ///   - groupWidth: activations that are rounded together.
  init(x: [Float], weights: [Float], spans: [Float], largest: Double?, groupWidth: Int) {
    var magnitude = 0.0
    for start in stride(from: 0, to: x.count, by: groupWidth) {
      let group = start..<min(x.count, start + groupWidth)
      let peak = group.reduce(0.0) { max($0, Double(abs(x[$1]))) }
      for index in group {
        value += Double(x[index]) * Double(weights[index])
        // Half a step of rounding, or a little more where the step itself was rounded.
        if let largest { tolerance += Double(spans[index]) * peak / largest * 0.5001 }
        magnitude += abs(Double(x[index])) * Double(abs(weights[index]) + 2 * spans[index])
      }
    }
    // Each float32 operation rounds by 2⁻²⁴; there are at most a few for each element.
    tolerance += magnitude * 0x1p-24 * Double(x.count + 8) + 0x1p-126
  }
}

@Suite("Products with stored weights") struct MatrixProductTests {
  static let types: [ElementType] = [
    .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_nl, .iq4_xs,
    .f16, .bf16, .f32, .f64, .f8_e4m3,
  ]

  /// The magnitude of `scale · centred code` for each element of a row.
  private func spans(_ type: ElementType, _ row: [UInt8], count: Int) -> [Float] {
    guard let layout = type.codeLayout else { return [Float](repeating: 0, count: count) }
    var codes = [Int8](repeating: 0, count: count)
    var scales = [Float](repeating: 0, count: count / layout.groupWidth)
    var (minimums, starts) = (scales, [Int32](repeating: 0, count: scales.count))
    row.withUnsafeBytes { bytes in
      codes.withUnsafeMutableBytes { codes in
        guard let source = bytes.baseAddress, let codes = codes.baseAddress else { return }
        var arguments = UnpackedRow(
          type: type, source: source, blocks: count / type.elementsPerBlock, isWide: false,
          codes: codes, scales: &scales, minimums: &minimums, starts: &starts, stride: 1)
        KernelSelection.available[0].unpack(&arguments)
      }
    }
    return (0..<count).map { abs(scales[$0 / layout.groupWidth] * Float(codes[$0])) }
  }

  @Test(
    "Every type, kernel set and precision is as near to the exact product as rounding allows",
    arguments: types, KernelSelection.available.map(\.name))
  func productsAreExact(_ type: ElementType, _ set: String) throws {
    let kernels = try #require(KernelSelection.available.first { $0.name == set })
    for (rows, outputs, blocks) in [
      (1, 1, 1), (2, 7, 2), (3, 17, 1), (5, 48, 3), (6, 16, 1), (7, 50, 1), (8, 96, 2), (17, 53, 1),
      (65, 8, 9),
    ] {
      let columns = max(type.elementsPerBlock, type.codeLayout == nil ? 13 : 32) * blocks
      let stored = RandomBlocks(type, rows: outputs, columns: columns, seed: UInt64(rows))
      let weight = stored.matrix(rows: outputs, columns: columns)
      let x = uniform(rows * columns, seed: UInt64(outputs))
      let input = try Matrix(x, rows: rows, columns: columns)
      let decoded = try weight.decoded()
      for precision in ActivationPrecision.allCases {
        let pool = ThreadPool(threadCount: 2, activations: precision, kernels: kernels)
        let result = try Matrix(rows: rows, columns: outputs)
        try multiply(input, by: weight, into: result, on: pool)
        let kind = ProductKind(type, precision, kernels)
        let largest: Double? =
          [.float: nil, .int8: 127, .int8Blocks: 127, .int16: 32767][kind] ?? nil
        for output in 0..<outputs {
          let range = output * columns..<(output + 1) * columns
          let rowBytes = type.byteCount(elements: columns) ?? 0
          let spans = spans(
            type, stored.row(output, byteCount: rowBytes), count: columns)
          for row in 0..<rows {
            let oracle = Oracle(
              x: Array(x[row * columns..<(row + 1) * columns]), weights: Array(decoded[range]),
              spans: spans, largest: largest,
              groupWidth: type.codeLayout.map(kind.scaleWidth) ?? 32)
            let found = Double(result.row(row)[output])
            #expect(
              abs(found - oracle.value) <= oracle.tolerance,
              "\(type.name) \(set) \(precision) \(rows)x\(outputs)x\(columns) [\(row), \(output)]")
          }
        }
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
        let pool = ThreadPool(threadCount: threads, activations: precision, kernels: kernels)
        try multiply(x.rows(range), by: weight, into: result, on: pool)
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
        try multiply(
          Matrix(x, rows: 1, columns: columns), by: weight, into: result,
          on: ThreadPool(threadCount: 1, kernels: kernels))
        #expect(result.values.allSatisfy { !$0.isFinite }, "\(type.name) \(kernels.name) \(value)")
      }
    }
  }

  @Test("Activations of zero, tiny and huge size are rounded without trouble")
  func extremeActivations() throws {
    let columns = 64
    let stored = RandomBlocks(.q4_0, rows: 2, columns: columns)
    let weight = stored.matrix(rows: 2, columns: columns)
    for kernels in KernelSelection.available {
      for size: Float in [0, 0x1p-149, 0x1p-130, 0x1p-100, 1, 0x1p100] {
        let x = uniform(columns, seed: 9).map { $0 * size }
        let result = try Matrix(rows: 1, columns: 2)
        try multiply(
          Matrix(x, rows: 1, columns: columns), by: weight, into: result,
          on: ThreadPool(threadCount: 1, activations: .exact, kernels: kernels))
        let decoded = try weight.decoded()
        for output in 0..<2 {
          var expected = 0.0
          var magnitude = 0.0
          for index in 0..<columns {
            let term = Double(x[index]) * Double(decoded[output * columns + index])
            expected += term
            magnitude += abs(term)
          }
          // A group smaller than the smallest normal scale counts as zero.
          let error = abs(Double(result.row(0)[output]) - expected)
          #expect(error <= magnitude * 1e-4 + 0x1p-110, "\(kernels.name) \(size)")
        }
      }
    }
  }

  /// Blocks whose codes are all zero bits, the most negative there are, with scales of 1 (and as
  /// large as they come in the format).
  private static let extremeBlocks: [(type: ElementType, fields: [Int: [UInt8]])] = [
    (.q4_0, [0: [0x00, 0x3C]]), (.q4_1, [0: [0x00, 0x3C, 0, 0xBC]]),
    (.q5_0, [0: [0x00, 0x3C]]), (.q5_1, [0: [0x00, 0x3C, 0, 0xBC]]),
    (.q2_K, [0: [UInt8](repeating: 0xFF, count: 16), 80: [0x00, 0x3C, 0, 0x3C]]),
    (.q3_K, [96: [UInt8](repeating: 0xFF, count: 12), 108: [0x00, 0x3C]]),
    (.q4_K, [0: [0x00, 0x3C, 0, 0x3C], 4: [UInt8](repeating: 0xFF, count: 12)]),
    (.q5_K, [0: [0x00, 0x3C, 0, 0x3C], 4: [UInt8](repeating: 0xFF, count: 12)]),
    (.q6_K, [192: [UInt8](repeating: 0x7F, count: 16), 208: [0x00, 0x3C]]),
  ]

  @Test("Sums of the largest codes and activations do not overflow", arguments: [Float(1), -1])
  func largestSums(_ sign: Float) throws {
    for (type, fields) in Self.extremeBlocks {
      var block = [UInt8](repeating: 0, count: type.bytesPerBlock)
      for (offset, bytes) in fields {
        block.replaceSubrange(offset..<offset + bytes.count, with: bytes)
      }
      let columns = 256
      let count = columns / type.elementsPerBlock
      let bytes = [UInt8]((0..<count).flatMap { _ in block })
      let storage = try FloatBuffer(count: bytes.count)
      let raw = UnsafeMutableRawBufferPointer(start: storage.pointer, count: bytes.count)
      raw.copyBytes(from: bytes)
      let segment = WeightMatrix.Segment(
        storage: ResidentStorage(
          UnsafeRawPointer(storage.pointer), byteCount: bytes.count, owner: storage),
        type: type, rows: 1)
      let weight = WeightMatrix(segments: [segment], columns: columns)
      let expected = try weight.decoded().reduce(0.0) { $0 + Double($1) * Double(sign) }
      #expect(expected != 0)
      for kernels in KernelSelection.available {
        for rows in [1, 2, 8] {
          let x = try Matrix(
            [Float](repeating: sign, count: rows * columns), rows: rows, columns: columns)
          let result = try Matrix(rows: rows, columns: 1)
          try multiply(
            x, by: weight, into: result,
            on: ThreadPool(threadCount: 1, activations: .int8, kernels: kernels))
          for value in result.values {
            #expect(
              abs(Double(value) - expected) <= 1e-5 * abs(expected), "\(type) \(kernels.name)")
          }
        }
      }
    }
  }

  /// Numbers from -1 to 1.
  private func uniform(_ count: Int, seed: UInt64) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(state >> 40) * 0x1p-23 - 1
    }
  }
}
