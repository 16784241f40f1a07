/// A row-major matrix of float32 activations in the memory of a device, or a view of some rows and
/// columns of one.
///
/// A handle: its elements are reached through the device that allocated it. Copies share memory,
/// and whoever holds a `Matrix` keeps its memory alive.
package struct Matrix: Sendable {
  /// The device's memory; only the device knows what it is.
  package let storage: any AnyObject & Sendable
  /// Floats before the first element.
  package let offset: Int
  package let rows: Int
  package let columns: Int
  /// Floats from one row to the next.
  package let stride: Int

  /// All of a block of memory, row by row. For devices.
  package init(storage: any AnyObject & Sendable, rows: Int, columns: Int) {
    self.init(storage: storage, offset: 0, rows: rows, columns: columns, stride: columns)
  }

  private init(
    storage: any AnyObject & Sendable, offset: Int, rows: Int, columns: Int, stride: Int
  ) {
    self.storage = storage
    self.offset = offset
    self.rows = rows
    self.columns = columns
    self.stride = stride
  }

  /// A view of consecutive rows.
  package func rows(_ range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows)
    return Matrix(
      storage: storage, offset: offset + range.lowerBound * stride, rows: range.count,
      columns: columns, stride: stride)
  }

  /// The same elements with each row cut into several.
  ///
  /// - Parameter parts: rows that each becomes; divides `columns`.
  /// - Returns: the view; nil where rows do not follow each other.
  package func cut(into parts: Int) -> Matrix? {
    guard stride == columns, parts > 0, columns.isMultiple(of: parts) else { return nil }
    return Matrix(
      storage: storage, offset: offset, rows: rows * parts, columns: columns / parts,
      stride: columns / parts)
  }

  /// The same elements with several rows as one.
  ///
  /// - Parameter parts: rows that become one; divides `rows`.
  /// - Returns: the view; nil where rows do not follow each other.
  package func joined(_ parts: Int) -> Matrix? {
    guard stride == columns, parts > 0, rows.isMultiple(of: parts) else { return nil }
    return Matrix(
      storage: storage, offset: offset, rows: rows / parts, columns: columns * parts,
      stride: columns * parts)
  }

  /// A view of consecutive columns.
  package func columns(_ range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= columns)
    return Matrix(
      storage: storage, offset: offset + range.lowerBound, rows: rows, columns: range.count,
      stride: stride)
  }
}

/// An image of several channels: a matrix `[channels, height · width]` with its side lengths.
package struct ImagePlanes: Sendable {
  package let height: Int
  package let width: Int
  /// `[channels, height · width]`.
  package let planes: Matrix

  package init(planes: Matrix, height: Int, width: Int) {
    precondition(planes.columns == height * width && planes.stride == planes.columns)
    self.planes = planes
    self.height = height
    self.width = width
  }

  package var channels: Int { planes.rows }
}
