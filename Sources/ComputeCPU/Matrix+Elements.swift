import Compute
import Machine

/// Elements of matrices that a `CPUDevice` allocated: none but its operations, tests and
/// measurements know that they are memory.
extension Matrix {
  /// Allocates a matrix with undefined content; see `FloatBuffer` for `isTransient`.
  package init(rows: Int, columns: Int, isTransient: Bool = false) throws(ComputeError) {
    let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
    guard !overflow else { throw ComputeError.outOfMemory(byteCount: .max) }
    self.init(
      storage: try FloatBuffer(count: count, isTransient: isTransient), rows: rows,
      columns: columns)
  }

  /// Allocates a matrix and copies values into it, row by row.
  package init(_ values: [Float], rows: Int, columns: Int) throws(ComputeError) {
    precondition(values.count == rows * columns)
    try self.init(rows: rows, columns: columns)
    values.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { pointer.update(from: base, count: source.count) }
    }
  }

  /// The first element. Valid while the matrix is held.
  ///
  /// - Precondition: a `CPUDevice` allocated it.
  package var pointer: UnsafeMutablePointer<Float> {
    precondition(type(of: storage) == FloatBuffer.self, "a matrix of another device")
    return unsafeDowncast(storage, to: FloatBuffer.self).pointer + offset
  }

  /// The first element of a row. Valid while the matrix is held.
  package func row(_ index: Int) -> UnsafeMutablePointer<Float> { pointer + index * stride }

  /// Sets every element.
  package func fill(_ value: Float) {
    for index in 0..<rows { row(index).update(repeating: value, count: columns) }
  }

  /// All elements, row by row.
  package var values: [Float] {
    var result: [Float] = []
    result.reserveCapacity(rows * columns)
    for index in 0..<rows {
      result.append(contentsOf: UnsafeBufferPointer(start: row(index), count: columns))
    }
    return result
  }
}

extension ImagePlanes {
  /// Allocates an image with undefined content.
  package init(channels: Int, height: Int, width: Int) throws(ComputeError) {
    self.init(
      planes: try Matrix(rows: channels, columns: height * width), height: height, width: width)
  }
}
