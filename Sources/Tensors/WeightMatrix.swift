import BlockFormats

/// A weight of a linear layer or convolution as it lies in a file: `rows` outputs, `columns`
/// inputs, in any element type.
///
/// Networks ask for products with it and never learn how it is stored. It may consist of row
/// ranges of several stored tensors, because checkpoints cut and order rows differently.
package struct WeightMatrix: Sendable {
  /// Consecutive rows that lie together in one file.
  package struct Segment: @unchecked Sendable {
    /// First byte of the first row.
    let bytes: UnsafeRawPointer
    let type: ElementType
    let rows: Int
    /// Keeps the bytes mapped.
    let owner: any AnyObject & Sendable

    /// - Parameters:
    ///   - bytes: whole rows, at least `rows` of them.
    ///   - type: a decodable type.
    ///   - rows: rows in this segment.
    ///   - owner: keeps `bytes` valid.
    package init(
      bytes: UnsafeRawPointer, type: ElementType, rows: Int, owner: any AnyObject & Sendable
    ) {
      self.bytes = bytes
      self.type = type
      self.rows = rows
      self.owner = owner
    }
  }

  package let rows: Int
  package let columns: Int
  /// Factor on every element (scaled fp8 checkpoints); 1 otherwise.
  package let scale: Float
  let segments: [Segment]

  /// - Precondition: each segment's rows are whole blocks of its type.
  package init(segments: [Segment], columns: Int, scale: Float = 1) {
    self.segments = segments
    self.columns = columns
    self.scale = scale
    rows = segments.reduce(0) { $0 + $1.rows }
  }

  /// Decodes rows to float32.
  ///
  /// - Parameters:
  ///   - range: rows to decode.
  ///   - values: room for `range.count * columns` floats.
  package func decode(rows range: Range<Int>, into values: UnsafeMutablePointer<Float>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows)
    var first = 0
    for segment in segments {
      let part = range.clamped(to: first..<first + segment.rows)
      if !part.isEmpty, let rowBytes = segment.type.byteCount(elements: columns) {
        segment.type.decode(
          segment.bytes + (part.lowerBound - first) * rowBytes, count: part.count * columns,
          into: values + (part.lowerBound - range.lowerBound) * columns)
      }
      first += segment.rows
    }
    if scale != 1 {
      for index in 0..<range.count * columns { values[index] *= scale }
    }
    // The segments, and with them the mapping, must outlive the loops above.
    withExtendedLifetime(segments) {}
  }

  /// All elements in float32, row by row. For small weights only.
  package func decoded() -> [Float] {
    [Float](unsafeUninitializedCapacity: rows * columns) { buffer, count in
      if let base = buffer.baseAddress { decode(rows: 0..<rows, into: base) }
      count = rows * columns
    }
  }
}
