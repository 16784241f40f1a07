import Foundation

/// A regular file mapped read-only into memory, kept mapped as long as the object lives.
///
/// Nothing is copied: pages come from the page cache when they are touched and may be dropped by
/// the kernel at any time.
package final class MappedFile: @unchecked Sendable {
  /// The path by which the file was opened; used in messages.
  package let path: String
  /// The whole content; empty for an empty file.
  package let bytes: UnsafeRawBufferPointer

  /// Opens and maps a file.
  ///
  /// - Throws: `ModelFileError` if the path is missing, is no regular file or cannot be mapped.
  package init(path: String) throws(ModelFileError) {
    self.path = path
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      throw ModelFileError(
        path: path, kind: errno == ENOENT || errno == ENOTDIR ? .notFound : .unreadable,
        fault: String(cString: strerror(errno)))
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw ModelFileError(
        path: path, kind: .unreadable, fault: String(cString: strerror(errno)))
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw ModelFileError(path: path, kind: .malformed, fault: "is not a regular file")
    }
    let count = Int(status.st_size)
    guard count > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let base = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED
    else {
      throw ModelFileError(
        path: path, kind: .unreadable,
        fault: "cannot map \(count) bytes: \(String(cString: strerror(errno)))")
    }
    bytes = UnsafeRawBufferPointer(start: base, count: count)
  }

  deinit {
    if let base = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: base), bytes.count)
    }
  }

  /// Lets the kernel drop the pages of a range from this process; they can be read again.
  package func release(_ range: Range<Int>) {
    guard let base = bytes.baseAddress else { return }
    let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))
    let start = (range.lowerBound + pageSize - 1) / pageSize * pageSize
    let end = min(range.upperBound, bytes.count) / pageSize * pageSize
    guard end > start else { return }
    madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, MADV_DONTNEED)
  }

  package func malformed(_ fault: String) -> ModelFileError {
    ModelFileError(path: path, kind: .malformed, fault: fault)
  }
}
