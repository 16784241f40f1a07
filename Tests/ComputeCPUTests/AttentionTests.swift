import Compute
import ComputeCPU
import Foundation
import KernelInterface
import Kernels
import TestSupport
import Testing

@Suite("Attention")
struct AttentionTests {
  /// A case: heads, their size, keys, and the key that has a bias.
  struct Shape: Sendable, CustomTestStringConvertible {
    let heads, headDimension, tokens: Int
    var biased: Int?

    var testDescription: String { "\(heads)x\(headDimension), \(tokens) tokens" }
  }

  static let shapes = [
    Shape(heads: 2, headDimension: 64, tokens: 1), Shape(heads: 1, headDimension: 128, tokens: 33),
    Shape(heads: 2, headDimension: 256, tokens: 200, biased: 7),
    Shape(heads: 1, headDimension: 256, tokens: 417, biased: 416),
    Shape(heads: 3, headDimension: 20, tokens: 70), Shape(heads: 1, headDimension: 33, tokens: 193),
  ]

  /// Values of up to 2 for a name.
  private func values(_ name: String, _ shape: Shape) throws -> Matrix {
    let columns = shape.heads * shape.headDimension
    return try Matrix(
      SeededWeights.values(name, count: shape.tokens * columns).map { 2 * $0 },
      rows: shape.tokens, columns: columns)
  }

  /// The result in float64.
  private func oracle(
    _ q: Matrix, _ k: Matrix, _ v: Matrix, _ shape: Shape, scale: Double, bias: Double
  ) -> [Double] {
    let (size, columns) = (shape.headDimension, shape.heads * shape.headDimension)
    var result = [Double](repeating: 0, count: shape.tokens * columns)
    for head in 0..<shape.heads {
      for query in 0..<shape.tokens {
        var scores = (0..<shape.tokens).map { key in
          (0..<size).reduce(0.0) {
            $0 + Double(q.row(query)[head * size + $1]) * Double(k.row(key)[head * size + $1])
          } * scale
        }
        if let biased = shape.biased { scores[biased] += bias }
        let peak = scores.max() ?? 0
        let weights = scores.map { exp($0 - peak) }
        let sum = weights.reduce(0, +)
        for column in 0..<size {
          result[query * columns + head * size + column] =
            (0..<shape.tokens).reduce(0.0) {
              $0 + weights[$1] / sum * Double(v.row($1)[head * size + column])
            }
        }
      }
    }
    return result
  }

  private func error(_ found: [Float], _ exact: [Double]) -> Double {
    let difference = zip(found, exact).reduce(0.0) { $0 + pow(Double($1.0) - $1.1, 2) }
    return (difference / exact.reduce(0) { $0 + $1 * $1 }).squareRoot()
  }

  @Test("every kernel set is close to float64", arguments: shapes)
  func accuracy(_ shape: Shape) throws {
    let (q, k, v) = (try values("q", shape), try values("k", shape), try values("v", shape))
    let scale = 1 / Float(shape.headDimension).squareRoot()
    let exact = oracle(q, k, v, shape, scale: Double(scale), bias: 2.5)
    for kernels in KernelSelection.available {
      let result = try Matrix(rows: shape.tokens, columns: q.columns)
      try CPUDevice(threadCount: 2, kernels: kernels).attend(
        Attention(
          q, k, v,
          sequences: [
            AttentionSequence(ranges: [0..<shape.tokens], keyBias: shape.biased.map { ($0, 2.5) })
          ], headDimension: shape.headDimension, scale: scale), into: result)
      // Sums of n float32 products of deviation 1 are off by about n · 2⁻²⁵, relative to their
      // deviation √n: √n · 2⁻²⁵. Scores, whose deviation is near 1, carry that into the exponent;
      // values are summed once more. Twice that, and four operations beside.
      let bound =
        0x1p-24 * (Double(shape.headDimension).squareRoot() + Double(shape.tokens).squareRoot() + 4)
      let found = error(result.values, exact)
      #expect(found < bound, "\(kernels.name): \(found), at most \(bound)")
    }
  }

  @Test("heads that are normalized on their way give the bits of heads that were before")
  func normalizing() throws {
    let shape = Shape(heads: 2, headDimension: 20, tokens: 230)
    let (q, k, v) = (try values("q", shape), try values("k", shape), try values("v", shape))
    let sequence = AttentionSequence(ranges: [3..<40, 60..<230])
    for kernels in KernelSelection.available {
      let device = CPUDevice(threadCount: 2, kernels: kernels)
      let normalized = try [q, k].map { heads in
        let result = try Matrix(heads.values, rows: heads.rows, columns: heads.columns)
        for row in 0..<heads.rows {
          for head in 0..<shape.heads {
            let place = result.row(row) + head * shape.headDimension
            var arguments = NormalizedRow(
              .meanAndVariance, source: place, epsilon: 1e-5, result: place,
              count: shape.headDimension)
            kernels.elementwise.normalize(&arguments)
          }
        }
        return result
      }
      func run(_ q: Matrix, _ k: Matrix, normalizing epsilon: Float?) throws -> [Float] {
        let result = try Matrix(rows: shape.tokens, columns: q.columns)
        result.fill(0)
        try device.attend(
          Attention(
            q, k, v, sequences: [sequence], headDimension: shape.headDimension,
            preparing: epsilon.map {
              [HeadPreparation(rows: 0..<shape.tokens, .init(.meanAndVariance, epsilon: $0))]
            } ?? [], scale: 0.2), into: result)
        return result.values
      }
      let expected = try run(normalized[0], normalized[1], normalizing: nil)
      #expect(try run(q, k, normalizing: 1e-5) == expected, "\(kernels.name)")
      #expect(try run(q, k, normalizing: nil) != expected)
    }
  }

  @Test("heads that are scaled and turned on their way give the bits of heads that were before")
  func preparing() throws {
    let shape = Shape(heads: 2, headDimension: 20, tokens: 230)
    let (q, k, v) = (try values("q", shape), try values("k", shape), try values("v", shape))
    let weights = ["wq", "wk"].map { SeededWeights.values($0, count: shape.headDimension) }
    let angles = try Matrix(
      SeededWeights.values("angles", count: 200 * shape.headDimension), rows: 200,
      columns: shape.headDimension)
    let norm = HeadPreparation.Normalization(
      .rootMeanSquare, epsilon: 1e-6, queryWeight: weights[0], keyWeight: weights[1])
    let preparations = [
      HeadPreparation(rows: 0..<30, norm), HeadPreparation(rows: 30..<230, norm, rotation: angles),
    ]
    for kernels in KernelSelection.available {
      let device = CPUDevice(threadCount: 2, kernels: kernels)
      let before = try [(q, weights[0]), (k, weights[1])].map { heads, weight in
        try prepared(heads, weight, angles, from: 30, shape, kernels)
      }
      func run(_ q: Matrix, _ k: Matrix, _ preparations: [HeadPreparation]) throws -> [Float] {
        let result = try Matrix(rows: shape.tokens, columns: q.columns)
        try device.attend(
          Attention(
            q, k, v, sequences: [AttentionSequence(ranges: [0..<shape.tokens])],
            headDimension: shape.headDimension, preparing: preparations, scale: 0.2), into: result)
        return result.values
      }
      #expect(try run(q, k, preparations) == run(before[0], before[1], []), "\(kernels.name)")
    }
  }

  /// Heads divided by their root mean square, scaled, and from a row on turned by angles.
  private func prepared(
    _ heads: Matrix, _ weight: [Float], _ angles: Matrix, from first: Int, _ shape: Shape,
    _ kernels: KernelSet
  ) throws -> Matrix {
    let result = try Matrix(heads.values, rows: heads.rows, columns: heads.columns)
    for row in 0..<heads.rows {
      for head in 0..<shape.heads {
        let place = result.row(row) + head * shape.headDimension
        weight.withUnsafeBufferPointer { weight in
          var arguments = NormalizedRow(
            .rootMeanSquare, source: place, epsilon: 1e-6, weight: weight.baseAddress,
            result: place, count: shape.headDimension)
          kernels.elementwise.normalize(&arguments)
        }
        guard row >= first else { continue }
        for pair in 0..<shape.headDimension / 2 {
          let (x, y) = (place[2 * pair], place[2 * pair + 1])
          let (cosine, sine) = (
            angles.row(row - first)[2 * pair], angles.row(row - first)[2 * pair + 1]
          )
          (place[2 * pair], place[2 * pair + 1]) = (x * cosine - y * sine, x * sine + y * cosine)
        }
      }
    }
    return result
  }

  @Test("in causal attention a row is what it is with nothing behind it", arguments: [1, 77, 400])
  func causal(tokens: Int) throws {
    let shape = Shape(heads: 2, headDimension: 20, tokens: tokens)
    let (q, k, v) = (try values("q", shape), try values("k", shape), try values("v", shape))
    for kernels in KernelSelection.available {
      let device = CPUDevice(threadCount: 2, kernels: kernels)
      func run(rows: Range<Int>, isCausal: Bool) throws -> Matrix {
        let result = try Matrix(rows: rows.count, columns: q.columns)
        try device.attend(
          Attention(
            q.rows(rows), k.rows(rows), v.rows(rows),
            sequences: [AttentionSequence(ranges: [0..<rows.count])],
            headDimension: shape.headDimension, isCausal: isCausal, scale: 0.2), into: result)
        return result
      }
      let result = try run(rows: 0..<tokens, isCausal: true)
      for row in [0, tokens / 3, tokens / 2, tokens - 1] {
        let alone = try run(rows: 0..<row + 1, isCausal: false)
        #expect(
          result.rows(row..<row + 1).values == alone.rows(row..<row + 1).values,
          "\(kernels.name), row \(row)")
      }
    }
  }

  @Test("results are the same bits for any number of threads and any sequence beside them")
  func determinism() throws {
    let shape = Shape(heads: 2, headDimension: 64, tokens: 300)
    let (q, k, v) = (try values("q", shape), try values("k", shape), try values("v", shape))
    for kernels in KernelSelection.available {
      func run(_ ranges: [[Range<Int>]], threads: Int) throws -> Matrix {
        let result = try Matrix(rows: shape.tokens, columns: q.columns)
        result.fill(0)
        try CPUDevice(threadCount: threads, kernels: kernels).attend(
          Attention(
            q, k, v, sequences: ranges.map { AttentionSequence(ranges: $0) }, headDimension: 64,
            scale: 0.125), into: result)
        return result
      }
      // A sequence in two pieces, as text and picture are.
      let (first, second) = ([0..<7, 100..<207], [7..<100, 207..<300])
      let both = try run([first, second], threads: 1)
      #expect(try run([first, second], threads: 3).values == both.values)
      let alone = try run([second], threads: 2)
      for rows in second { #expect(alone.rows(rows).values == both.rows(rows).values) }
    }
  }

  @Test("values that are not finite spoil what they take part in, and nothing else")
  func notFinite() throws {
    let shape = Shape(heads: 1, headDimension: 64, tokens: 40)
    for kernels in KernelSelection.available {
      for bad in [Float.nan, .infinity] {
        for place in 0..<3 {
          let inputs = try ["q", "k", "v"].map { try values($0, shape) }
          inputs[place].row(3)[5] = bad
          let result = try Matrix(rows: shape.tokens, columns: 64)
          try CPUDevice(threadCount: 2, kernels: kernels).attend(
            Attention(
              inputs[0], inputs[1], inputs[2], sequences: [AttentionSequence(ranges: [0..<40])],
              headDimension: 64, scale: 0.125), into: result)
          // A query's own row; a key meets all queries, but is left out where its score is −∞; a
          // value goes into its column of all rows.
          for (index, value) in result.values.enumerated() {
            let isMet = bad.isNaN || inputs[0].row(index / 64)[5] > 0
            let isSpoilt = [index / 64 == 3, isMet, index % 64 == 5][place]
            #expect(value.isFinite == !isSpoilt, "\(kernels.name) \(place) \(index)")
          }
        }
      }
    }
  }
}
