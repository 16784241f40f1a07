import BlockFormats

/// A weight of a linear layer or convolution as it lies in a file: `rows` outputs, `columns`
/// inputs, in any element type.
///
/// Networks ask for products with it and never learn how it is stored. It may consist of row
/// ranges of several stored tensors, because checkpoints cut and order rows differently.
package struct WeightMatrix: Sendable {
  /// Consecutive rows that lie together in one file.
  package struct Segment: Sendable {
    package let storage: any WeightStorage
    /// Where the first row begins in the storage.
    package let offset: Int
    package let type: ElementType
    package let rows: Int
    /// What is known of products with the tensor.
    package let errors: ProductErrors?

    /// - Parameters:
    ///   - storage: holds whole rows, at least `rows` of them from `offset` on.
    ///   - offset: bytes before the first row.
    ///   - type: a type that can be dequantized.
    ///   - rows: rows in this segment.
    ///   - errors: what is known of products with the tensor.
    package init(
      storage: any WeightStorage, offset: Int = 0, type: ElementType, rows: Int,
      errors: ProductErrors? = nil
    ) {
      self.storage = storage
      self.offset = offset
      self.type = type
      self.rows = rows
      self.errors = errors
    }

    /// Calls `body` with the bytes of some rows.
    package func withRows(
      _ range: Range<Int>, columns: Int, _ body: (UnsafeRawPointer) throws(ComputeError) -> Void
    ) throws(ComputeError) {
      let rowBytes = type.byteCount(elements: columns) ?? 0
      try storage.withBytes(
        offset + range.lowerBound * rowBytes..<offset + range.upperBound * rowBytes, body)
    }
  }

  package let rows: Int
  package let columns: Int
  /// Our name of the tensor, for statistics; empty if it has none.
  package let name: String
  /// Scales of the elements (scaled fp8 checkpoints).
  package let scale: WeightScale
  package let segments: [Segment]
  /// Which of the tensor's rows the first one is.
  package let firstRow: Int
  /// What adapters add to the stored elements; the weight is the sum.
  package let updates: [WeightUpdate]

  /// - Precondition: each segment's rows are whole blocks of its type; updates fit into the weight.
  package init(
    segments: [Segment], columns: Int, scale: WeightScale = .one, name: String = "",
    firstRow: Int = 0, updates: [WeightUpdate] = []
  ) {
    self.segments = segments
    self.columns = columns
    self.name = name
    self.scale = scale
    self.firstRow = firstRow
    self.updates = updates
    rows = segments.reduce(0) { $0 + $1.rows }
  }

  /// The same stored elements with more that is added to them.
  package func updated(by updates: [WeightUpdate]) -> WeightMatrix {
    replacingUpdates(self.updates + updates)
  }

  /// The stored elements by themselves.
  package var stored: WeightMatrix { updates.isEmpty ? self : replacingUpdates([]) }

  private func replacingUpdates(_ updates: [WeightUpdate]) -> WeightMatrix {
    WeightMatrix(
      segments: segments, columns: columns, scale: scale, name: name, firstRow: firstRow,
      updates: updates)
  }

  /// Where all of its bytes come from, those of updates among them.
  package var storages: [any WeightStorage] {
    segments.map(\.storage) + updates.flatMap(\.storages)
  }

  /// Some of the rows as a weight of the same name.
  package func rows(_ range: Range<Int>) -> WeightMatrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows)
    var first = 0
    var parts: [Segment] = []
    for segment in segments {
      let part = range.clamped(to: first..<first + segment.rows)
      if !part.isEmpty {
        let rowBytes = segment.type.byteCount(elements: columns) ?? 0
        parts.append(
          Segment(
            storage: segment.storage, offset: segment.offset + (part.lowerBound - first) * rowBytes,
            type: segment.type, rows: part.count, errors: segment.errors))
      }
      first += segment.rows
    }
    return WeightMatrix(
      segments: parts, columns: columns, scale: scale.rows(range), name: name,
      firstRow: firstRow + range.lowerBound, updates: updates.compactMap { $0.rows(range) })
  }

  /// Dequantizes rows to float32, and adds what adapters add.
  ///
  /// - Parameters:
  ///   - range: rows to dequantize.
  ///   - values: room for `range.count * columns` floats.
  /// - Throws: `ComputeError` if the bytes cannot be read any more.
  package func decode(
    rows range: Range<Int>, into values: UnsafeMutablePointer<Float>
  ) throws(ComputeError) {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows)
    var first = 0
    for segment in segments {
      let part = range.clamped(to: first..<first + segment.rows)
      if !part.isEmpty {
        let rows = part.lowerBound - first..<part.upperBound - first
        try segment.withRows(rows, columns: columns) { bytes in
          segment.type.decode(
            bytes, count: part.count * columns,
            into: values + (part.lowerBound - range.lowerBound) * columns)
        }
      }
      first += segment.rows
    }
    scale.apply(
      to: values, count: range.count * columns, from: range.lowerBound * columns, columns: columns)
    guard !updates.isEmpty else { return }
    try WeightUpdate.apply(
      updates, to: range.lowerBound * columns..<range.upperBound * columns, columns: columns, values
    )
  }

  /// All elements in float32, row by row. For small weights only.
  package func decoded() throws(ComputeError) -> [Float] {
    var fault: ComputeError?
    let values = [Float](unsafeUninitializedCapacity: rows * columns) { values, count in
      do throws(ComputeError) {
        if let base = values.baseAddress { try decode(rows: 0..<rows, into: base) }
        count = rows * columns
      } catch {
        fault = error
      }
    }
    if let fault { throw fault }
    return values
  }
}
