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

  /// Floats of memory that `transpose` works in.
  static func scratchCount(rows: Int, headDimension: Int, epsilon: Float?) -> Int {
    epsilon == nil ? 0 : rows * headDimension
  }

  /// Writes some rows as columns of `[headDimension, width]`.
  func transpose(
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
