import BlockFormats
import Machine
import ModelFiles

/// Makes the contents of tensors and passes them on in pieces, so that the size of a model does not
/// matter for memory.
final class TensorContents {
  /// Bytes made at once by all threads, and by one task of a thread.
  private static let batchBytes = 16 << 20
  private static let taskBytes = 256 << 10

  private let seed: UInt64
  private let pool: ThreadPool
  private let progress: (_ byteCount: Int) -> Void
  private let buffer: UnsafeMutableRawBufferPointer

  /// - Parameters:
  ///   - seed: of the model.
  ///   - pool: threads to work on.
  ///   - progress: called with the number of bytes after each piece.
  init(seed: UInt64, on pool: ThreadPool, progress: @escaping (_ byteCount: Int) -> Void) {
    self.seed = seed
    self.pool = pool
    self.progress = progress
    buffer = .allocate(byteCount: Self.batchBytes, alignment: 64)
  }

  deinit { buffer.deallocate() }

  /// Writes a whole tensor.
  ///
  /// - Parameters:
  ///   - tensor: what to make.
  ///   - type: the type to store it in.
  ///   - writer: where it goes.
  /// - Throws: `ModelFileError` if writing fails, `ComputeError` if the work is cancelled.
  func write(_ tensor: SyntheticTensor, as type: ElementType, to writer: TensorFileWriter) throws {
    try write(0..<tensor.rowCount, of: tensor, as: type, to: writer)
  }

  /// Writes some rows of a tensor.
  ///
  /// - Parameters:
  ///   - rows: which.
  ///   - tensor: what to make.
  ///   - type: the type to store it in.
  ///   - writer: where they go.
  /// - Throws: `ModelFileError` if writing fails, `ComputeError` if the work is cancelled.
  func write(
    _ rows: Range<Int>, of tensor: SyntheticTensor, as type: ElementType,
    to writer: TensorFileWriter
  ) throws {
    let rowBytes = type.byteCount(elements: tensor.rowLength) ?? 0
    precondition(rowBytes > 0 && rowBytes <= Self.batchBytes, "rows that no preset has")
    let tensorSeed = RandomNumbers.seed(seed, name: tensor.name)
    let batch = Self.batchBytes / rowBytes
    let fill = filling(tensor, type)
    for start in stride(from: rows.lowerBound, to: rows.upperBound, by: batch) {
      let count = min(batch, rows.upperBound - start)
      try pool.run(ranges: count, grain: max(1, Self.taskBytes / rowBytes)) { range in
        for row in range {
          let place = UnsafeMutableRawBufferPointer(
            rebasing: buffer[row * rowBytes..<(row + 1) * rowBytes])
          fill(place, RandomNumbers.seed(tensorSeed, row: start + row))
        }
      }
      try writer.write(UnsafeRawBufferPointer(rebasing: buffer[..<(count * rowBytes)]))
      progress(count * rowBytes)
    }
  }

  /// Throws if the work was cancelled, which writing alone would not notice.
  func checkCancellation() throws { try pool.run(1) { _, _ in } }

  private func filling(
    _ tensor: SyntheticTensor, _ type: ElementType
  ) -> (_ row: UnsafeMutableRawBufferPointer, _ seed: UInt64) -> Void {
    switch tensor.content {
    case .random(let standardDeviation):
      let rows = RandomRows(type, standardDeviation: standardDeviation)
      return { rows.fill($0, seed: $1) }
    case .constant(let value):
      let bytes = Self.bytes(of: value, type)
      return { row, _ in
        for index in row.indices { row[index] = bytes[index % bytes.count] }
      }
    }
  }

  private static func bytes(of value: Float, _ type: ElementType) -> [UInt8] {
    switch type {
    case .f16: withUnsafeBytes(of: Float16(value).bitPattern.littleEndian) { Array($0) }
    case .bf16:
      withUnsafeBytes(of: UInt16(truncatingIfNeeded: value.bitPattern >> 16).littleEndian) {
        Array($0)
      }
    default: withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }
  }
}
