import Foundation

/// Why a computation did not come to its end.
public enum ComputeError: Error, Equatable, CustomStringConvertible {
  /// Memory for activations could not be had.
  case outOfMemory(byteCount: Int)
  /// A weight's file was changed or cannot be read any more.
  case unreadable(path: String, fault: String)
  /// Someone asked it to stop.
  case cancelled

  /// A line for the user.
  public var description: String {
    switch self {
    case .outOfMemory(let byteCount):
      "cannot allocate \(byteCount >> 20) MiB for activations: choose a smaller picture or batch"
    case .unreadable(let path, let fault): "\(path): \(fault)"
    case .cancelled: "cancelled"
    }
  }
}

/// A block of float32 memory, aligned to cache lines, with undefined initial content.
package final class FloatBuffer: @unchecked Sendable {
  package let count: Int
  package let pointer: UnsafeMutablePointer<Float>
  /// Bytes of a mapping of its own; nil if the memory is the allocator's.
  private let mappedBytes: Int?
  private let meter = AllocationMeter.current

  /// Sizes below this are never worth a mapping.
  private static let leastMapping = 256 << 10
  /// Sizes from here on always are: the allocator would keep some of them.
  private static let heapBytes = 1 << 20

  /// - Parameters:
  ///   - count: number of floats.
  ///   - isMapped: whether rather small memory too is asked from the system, and given back to it as soon as
  ///     it is freed. The allocator may keep what is freed, but need not be filled anew.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(count: Int, isMapped: Bool = false) throws(ComputeError) {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
    guard !overflow else { throw ComputeError.outOfMemory(byteCount: .max) }
    let raw: UnsafeMutableRawPointer
    if bytes >= (isMapped ? Self.leastMapping : Self.heapBytes) {
      guard
        let mapping = mmap(
          nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        mapping != MAP_FAILED
      else { throw ComputeError.outOfMemory(byteCount: bytes) }
      raw = mapping
      mappedBytes = bytes
    } else {
      var memory: UnsafeMutableRawPointer?
      guard posix_memalign(&memory, 64, max(bytes, 64)) == 0, let memory else {
        throw ComputeError.outOfMemory(byteCount: bytes)
      }
      raw = memory
      mappedBytes = nil
    }
    self.count = count
    pointer = raw.bindMemory(to: Float.self, capacity: count)
    meter?.add(bytes)
  }

  deinit {
    meter?.add(-count * MemoryLayout<Float>.stride)
    if let mappedBytes { munmap(pointer, mappedBytes) } else { free(pointer) }
  }
}

/// A row-major matrix of float32 activations, or a view of some rows and columns of one.
///
/// Copies share memory. Whoever holds a `Matrix` keeps its memory alive.
package struct Matrix: @unchecked Sendable {
  private let storage: FloatBuffer
  private let offset: Int
  package let rows: Int
  package let columns: Int
  /// Floats from one row to the next.
  package let stride: Int

  /// Allocates a matrix with undefined content; see `FloatBuffer` for `isMapped`.
  package init(rows: Int, columns: Int, isMapped: Bool = false) throws(ComputeError) {
    let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
    guard !overflow else { throw ComputeError.outOfMemory(byteCount: .max) }
    self.init(
      storage: try FloatBuffer(count: count, isMapped: isMapped), offset: 0, rows: rows,
      columns: columns, stride: columns)
  }

  /// Allocates a matrix and copies values into it, row by row.
  package init(_ values: [Float], rows: Int, columns: Int) throws(ComputeError) {
    precondition(values.count == rows * columns)
    try self.init(rows: rows, columns: columns)
    values.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { pointer.update(from: base, count: source.count) }
    }
  }

  private init(storage: FloatBuffer, offset: Int, rows: Int, columns: Int, stride: Int) {
    self.storage = storage
    self.offset = offset
    self.rows = rows
    self.columns = columns
    self.stride = stride
  }

  /// The first element. Valid while the matrix is held.
  package var pointer: UnsafeMutablePointer<Float> { storage.pointer + offset }

  /// Sets every element.
  package func fill(_ value: Float) {
    for index in 0..<rows { row(index).update(repeating: value, count: columns) }
  }

  /// The first element of a row. Valid while the matrix is held.
  package func row(_ index: Int) -> UnsafeMutablePointer<Float> { pointer + index * stride }

  /// A view of consecutive rows.
  package func rows(_ range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows)
    return Matrix(
      storage: storage, offset: offset + range.lowerBound * stride, rows: range.count,
      columns: columns, stride: stride)
  }

  /// A view of consecutive columns.
  package func columns(_ range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= columns)
    return Matrix(
      storage: storage, offset: offset + range.lowerBound, rows: rows, columns: range.count,
      stride: stride)
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
