import Compute
import KernelInterface

/// One head of queries or keys, prepared on its way into tiles if that is wanted.
struct HeadRows {
  /// Which of the two.
  enum Kind { case queries, keys }

  private let x: Matrix
  private let kind: Kind
  private let preparations: [HeadPreparation]
  private let kernels: KernelSet

  /// - Parameters:
  ///   - x: `[rows, headDimension]`.
  ///   - kind: which of the two.
  ///   - preparations: what becomes of rows first.
  ///   - kernels: that pack them.
  init(_ x: Matrix, _ kind: Kind, preparing preparations: [HeadPreparation], kernels: KernelSet) {
    self.x = x
    self.kind = kind
    self.preparations = preparations
    self.kernels = kernels
  }

  /// Floats of memory that `pack` works in for tiles of some rows.
  static func scratchCount(
    rows: Int, headDimension: Int, preparing preparations: [HeadPreparation]
  ) -> Int {
    preparations.isEmpty ? 0 : rows * headDimension
  }

  /// Packs the rows of some places of a sequence in tiles of `width`, `[headDimension, width]`
  /// each; what the last one lacks is zero.
  func pack(
    _ places: Range<Int>, of sequence: SequenceRows, into target: UnsafeMutablePointer<Float>,
    width: Int, scratch: UnsafeMutablePointer<Float>
  ) {
    for start in stride(from: places.lowerBound, to: places.upperBound, by: width) {
      let part = start..<min(places.upperBound, start + width)
      let tile = target + (start - places.lowerBound) * x.columns
      if part.count < width { tile.update(repeating: 0, count: width * x.columns) }
      sequence.forEachRun(part) { rows, before in
        transpose(rows, into: tile + before, width: width, scratch: scratch)
      }
    }
  }

  /// Writes some rows as columns of `[headDimension, width]`.
  private func transpose(
    _ rows: Range<Int>, into target: UnsafeMutablePointer<Float>, width: Int,
    scratch: UnsafeMutablePointer<Float>
  ) {
    var transposition = Transposition(
      source: x.row(rows.lowerBound), sourceStride: x.stride, rows: rows.count,
      columns: x.columns, destination: target, destinationStride: width)
    if !preparations.isEmpty {
      for (index, row) in rows.enumerated() { prepare(row, into: scratch + index * x.columns) }
      transposition.source = UnsafeRawPointer(scratch)
      transposition.sourceStride = x.columns
    }
    kernels.transpose(&transposition)
  }

  /// Writes one row as it enters attention.
  private func prepare(_ row: Int, into result: UnsafeMutablePointer<Float>) {
    var source = UnsafePointer(x.row(row))
    guard let preparation = preparations.first(where: { $0.rows.contains(row) }) else {
      return result.update(from: source, count: x.columns)
    }
    if let normalization = preparation.normalization {
      let weight =
        kind == .queries ? normalization.queryWeight : normalization.keyWeight
      var arguments = NormalizedRow(
        normalization.statistics, source: source, epsilon: normalization.epsilon, result: result,
        count: x.columns)
      if let weight {
        weight.withUnsafeBufferPointer { weight in
          arguments.weight = weight.baseAddress
          kernels.elementwise.normalize(&arguments)
        }
      } else {
        kernels.elementwise.normalize(&arguments)
      }
      source = UnsafePointer(result)
    }
    if let rotation = preparation.rotation {
      var arguments = RotatedRow(
        source: source, angles: rotation.row(row - preparation.rows.lowerBound), result: result,
        count: x.columns)
      kernels.elementwise.rotate(&arguments)
    } else if preparation.normalization == nil {
      result.update(from: source, count: x.columns)
    }
  }
}
