import Compute
import KernelInterface

/// One head of queries or keys, normalized on its way into tiles if that is wanted.
struct HeadRows {
  private let x: Matrix
  private let epsilon: Float?
  private let kernels: KernelSet

  /// - Parameters:
  ///   - x: `[rows, headDimension]`.
  ///   - epsilon: added to variances; nil if rows are taken as they are.
  ///   - kernels: that pack them.
  init(_ x: Matrix, epsilon: Float?, kernels: KernelSet) {
    self.x = x
    self.epsilon = epsilon
    self.kernels = kernels
  }

  /// Floats of memory that `pack` works in for tiles of some rows.
  static func scratchCount(rows: Int, headDimension: Int, epsilon: Float?) -> Int {
    epsilon == nil ? 0 : rows * headDimension
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
    if let epsilon {
      for (index, row) in rows.enumerated() {
        var arguments = NormalizedRow(
          .meanAndVariance, source: x.row(row), epsilon: epsilon,
          result: scratch + index * x.columns, count: x.columns)
        kernels.elementwise.normalize(&arguments)
      }
      transposition.source = UnsafeRawPointer(scratch)
      transposition.sourceStride = x.columns
    }
    kernels.transpose(&transposition)
  }
}
