import Foundation

/// How the bytes of model files are accessed.
public enum FileAccess: String, CaseIterable, Sendable {
  /// Map files into memory; pages come and go with the page cache.
  case mmap
  /// Read what is needed into memory of our own.
  case read
}

/// A regular file with its first part, or all of it, mapped read-only into memory as long as the
/// object lives.
///
/// Nothing is copied: pages come from the page cache when they are touched and may be dropped by
/// the kernel at any time.
package final class MappedFile: @unchecked Sendable {
  /// The path by which the file was opened; used in messages.
  package let path: String
  /// The mapped bytes: all of the file, or as much of its front as holds any header.
  package let bytes: UnsafeRawBufferPointer
  /// Size of the file.
  package let size: Int
  private let access: FileAccess
  /// -1 where the bytes are a copy in memory.
  private let descriptor: Int32
  /// What must stay as it is for the header to be true: size, and time of the last change.
  private let stamp: (seconds: Int, nanoseconds: Int)

  /// Mapped of a file that is not mapped as a whole; more than any safetensors header (100 MB) and
  /// than the metadata of any GGUF file in use.
  private static let frontBytes = 128 << 20

  /// Opens and maps a file.
  ///
  /// - Parameters:
  ///   - path: a regular file.
  ///   - access: whether to map all of it. Where the address space is too small (`ulimit -v`), only
  ///     its front is mapped too.
  /// - Throws: `ModelFileError` if the path is missing, is not a regular file or cannot be mapped.
  package init(path: String, access: FileAccess = .mmap) throws(ModelFileError) {
    self.path = path
    self.access = access
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let descriptor = FileSystem.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      if errno == ENOENT, let target = FileSystem.linkTarget(path) {
        throw ModelFileError(
          path: path, kind: .notFound,
          fault:
            "is a link to '\(target)', which is not there: its download has not ended, or what it "
            + "leads to was removed")
      }
      throw ModelFileError(
        path: path, kind: errno == ENOENT || errno == ENOTDIR ? .notFound : .unreadable,
        fault: String(cString: strerror(errno)))
    }
    do throws(ModelFileError) {
      let status = try Self.status(of: descriptor, path: path)
      guard status.st_mode & S_IFMT == S_IFREG else {
        throw ModelFileError(path: path, kind: .malformed, fault: "is not a regular file")
      }
      size = Int(status.st_size)
      stamp = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
      bytes = try Self.map(descriptor, size: size, access: access, path: path)
    } catch {
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
    MappingFaults.watch(bytes, path: path)
  }

  /// Takes bytes for the content of a file, to read a format where there is no file.
  ///
  /// The copy is exactly as long as the bytes, so that AddressSanitizer sees the first read beyond
  /// them, which in the last page of a mapping goes unseen.
  ///
  /// - Parameters:
  ///   - content: the bytes; only ``bytes`` gives them, whatever would read a file fails.
  ///   - path: what to name in messages.
  package init(copying content: UnsafeRawBufferPointer, path: String) {
    self.path = path
    access = .mmap
    size = content.count
    stamp = (0, 0)
    descriptor = -1
    guard !content.isEmpty else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: content.count, alignment: 1)
    copy.copyMemory(from: content)
    bytes = UnsafeRawBufferPointer(copy)
  }

  deinit {
    guard descriptor >= 0 else { return bytes.deallocate() }
    MappingFaults.forget(bytes)
    if let base = bytes.baseAddress {
      munmap(UnsafeMutableRawPointer(mutating: base), bytes.count)
    }
    close(descriptor)
  }

  private static func status(of descriptor: Int32, path: String) throws(ModelFileError) -> stat {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw ModelFileError(
        path: path, kind: .unreadable, fault: String(cString: strerror(errno)))
    }
    return status
  }

  private static func map(
    _ descriptor: Int32, size: Int, access: FileAccess, path: String
  ) throws(ModelFileError) -> UnsafeRawBufferPointer {
    guard size > 0 else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    let front = min(size, frontBytes)
    for count in access == .mmap ? [size, front] : [front] {
      if let base = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED {
        if hasRoomForOthers() { return UnsafeRawBufferPointer(start: base, count: count) }
        munmap(base, count)
        errno = ENOMEM
      }
      if errno != ENOMEM { break }
    }
    throw ModelFileError(
      path: path, kind: errno == ENOMEM ? .outOfMemory : .unreadable,
      fault: "cannot map \(front) bytes: \(String(cString: strerror(errno)))")
  }

  /// Whether a limit on address space leaves what threads and the allocator need, by reserving it
  /// for a moment: without it they crash or wait for ever, where a map that fails is an error with
  /// a name.
  private static func hasRoomForOthers() -> Bool {
    let room = 64 << 20
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let base = mmap(nil, room, PROT_NONE, flags, -1, 0), base != MAP_FAILED else {
      return false
    }
    munmap(base, room)
    return true
  }

  // MARK: Content

  /// The first byte, if the whole file is mapped and may be used in place.
  package var wholeContent: UnsafeRawPointer? {
    access == .mmap && bytes.count == size ? bytes.baseAddress : nil
  }

  /// Maps or reads part of a file that is not mapped as a whole.
  ///
  /// - Parameter range: inside of the file.
  /// - Returns: the part, in memory as long as it is held.
  /// - Throws: `ModelFileError` if memory cannot be allocated or the file cannot be read.
  package func content(_ range: Range<Int>) throws(ModelFileError) -> FileContent {
    switch access {
    case .mmap: try FileContent(mapping: range, of: descriptor, path: path)
    case .read: try FileContent(reading: range, of: descriptor, path: path)
    }
  }

  /// Reads part of the file into memory of its own, whatever the access.
  ///
  /// - Parameter range: inside of the file.
  /// - Returns: the part, in memory as long as it is held.
  /// - Throws: `ModelFileError` if memory cannot be allocated or the file cannot be read.
  package func copy(_ range: Range<Int>) throws(ModelFileError) -> FileContent {
    try FileContent(reading: range, of: descriptor, path: path)
  }

  /// Reads part of the file into memory of the caller; nothing becomes resident by it.
  ///
  /// - Parameters:
  ///   - range: inside of the file.
  ///   - memory: room for at least `range.count` bytes.
  /// - Throws: `ModelFileError` if the file cannot be read or was cut short.
  package func read(
    _ range: Range<Int>, into memory: UnsafeMutableRawPointer
  ) throws(ModelFileError) {
    try FileContent.read(range, of: descriptor, into: memory, path: path)
  }

  /// Checks that the file is still what its header said.
  ///
  /// A file that was replaced by another one under its name stays what it was.
  ///
  /// - Throws: `ModelFileError` if it was written to or cut short.
  package func checkUnchanged() throws(ModelFileError) {
    let now = try Self.status(of: descriptor, path: path)
    guard now.st_size == size, now.st_mtim.tv_sec == stamp.seconds,
      now.st_mtim.tv_nsec == stamp.nanoseconds
    else {
      throw ModelFileError(
        path: path, kind: .unreadable,
        fault: "was changed while in use (it had \(size) bytes, now \(now.st_size)): start again "
          + "when nothing writes to it")
    }
  }

  /// Asks the system to read part of the file soon. May wait for the device.
  package func prefetch(_ range: Range<Int>) {
    posix_fadvise(descriptor, range.lowerBound, range.count, POSIX_FADV_WILLNEED)
  }

  /// Lets the kernel drop the pages of a range from this process; they can be read again.
  package func release(_ range: Range<Int>) {
    guard descriptor >= 0, let base = bytes.baseAddress, !range.isEmpty else { return }
    // The kernel maps pages around the one that was asked for.
    let start = range.lowerBound / Self.faultAround * Self.faultAround
    let end = min(
      bytes.count, (range.upperBound + Self.faultAround - 1) / Self.faultAround * Self.faultAround)
    guard end > start else { return }
    let pages = UnsafeMutableRawPointer(mutating: base + start)
    // What was used is to leave the page cache before what was read ahead. Older kernels than 5.4
    // refuse.
    madvise(pages, end - start, Self.cold)
    madvise(pages, end - start, MADV_DONTNEED)
  }

  /// `MADV_COLD`, which glibc's headers may not have.
  private static let cold: Int32 = 20

  /// Linux's default `fault_around_bytes`.
  private static let faultAround = 64 << 10

  package func malformed(_ fault: String) -> ModelFileError {
    ModelFileError(path: path, kind: .malformed, fault: fault)
  }
}
