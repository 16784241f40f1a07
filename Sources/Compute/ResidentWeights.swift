import BlockFormats
import Machine

extension WeightMatrix {
  /// A weight of values that were made, always in memory.
  ///
  /// - Parameters:
  ///   - values: row by row.
  ///   - rows: number of rows.
  ///   - columns: elements of a row.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(resident values: [Float], rows: Int, columns: Int) throws(ComputeError) {
    precondition(values.count == rows * columns)
    let buffer = try FloatBuffer(count: values.count)
    values.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { buffer.pointer.update(from: base, count: source.count) }
    }
    let storage = ResidentStorage(
      buffer.pointer, byteCount: values.count * MemoryLayout<Float>.stride, owner: buffer)
    self.init(
      segments: [Segment(storage: storage, type: .f32, rows: rows)], columns: columns)
  }
}
