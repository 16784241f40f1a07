import Foundation

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
  ///   - isTransient: whether smaller buffers too get a mapping of their own, which goes back to
  ///     the system as soon as it is freed. The allocator may keep what is freed, but its pages
  ///     need no zeroing again.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(count: Int, isTransient: Bool = false) throws(ComputeError) {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
    guard !overflow else { throw ComputeError.outOfMemory(byteCount: .max) }
    let raw: UnsafeMutableRawPointer
    if bytes >= (isTransient ? Self.leastMapping : Self.heapBytes) {
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
