import Foundation

/// Part of a file in memory, mapped or read, as long as the object lives.
package final class FileContent: @unchecked Sendable {
  /// The first byte of the part.
  package let pointer: UnsafeRawPointer
  private let block: UnsafeMutableRawBufferPointer
  private let isMapped: Bool

  private static let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))

  /// Maps the pages of a part.
  init(mapping range: Range<Int>, of descriptor: Int32, path: String) throws(ModelFileError) {
    let start = range.lowerBound / Self.pageSize * Self.pageSize
    let count = max(1, range.upperBound - start)
    guard let base = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, start),
      base != MAP_FAILED
    else { throw Self.failure("cannot map \(count) bytes", path) }
    block = UnsafeMutableRawBufferPointer(start: base, count: count)
    pointer = UnsafeRawPointer(base) + (range.lowerBound - start)
    isMapped = true
    MappingFaults.watch(UnsafeRawBufferPointer(block), path: path)
  }

  /// Reads a part into memory of its own.
  init(reading range: Range<Int>, of descriptor: Int32, path: String) throws(ModelFileError) {
    // Not from the heap, which would keep the memory.
    let count = max(1, range.count)
    guard
      let base = mmap(
        nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      base != MAP_FAILED
    else { throw Self.failure("cannot allocate \(count) bytes", path) }
    block = UnsafeMutableRawBufferPointer(start: base, count: count)
    pointer = UnsafeRawPointer(base)
    isMapped = false
    try Self.read(range, of: descriptor, into: base, path: path)
  }

  /// Reads a part into memory of the caller.
  static func read(
    _ range: Range<Int>, of descriptor: Int32, into memory: UnsafeMutableRawPointer, path: String
  ) throws(ModelFileError) {
    var done = 0
    while done < range.count {
      let count = pread(descriptor, memory + done, range.count - done, range.lowerBound + done)
      if count < 0 && errno == EINTR { continue }
      guard count != 0 else {
        throw ModelFileError(
          path: path, kind: .unreadable,
          fault: "ends at byte \(range.lowerBound + done): it was cut short while in use")
      }
      guard count > 0 else {
        throw failure("cannot read \(range.count) bytes at \(range.lowerBound)", path)
      }
      done += count
    }
  }

  deinit {
    if isMapped { MappingFaults.forget(UnsafeRawBufferPointer(block)) }
    munmap(block.baseAddress, block.count)
  }

  private static func failure(_ what: String, _ path: String) -> ModelFileError {
    ModelFileError(
      path: path, kind: errno == ENOMEM ? .outOfMemory : .unreadable,
      fault: "\(what): \(String(cString: strerror(errno)))")
  }
}
