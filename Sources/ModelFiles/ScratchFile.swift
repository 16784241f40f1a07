import Foundation

/// A file of fixed size for what does not fit into memory: written and read in place.
///
/// Its space is allocated at the beginning, so that a full disk shows before any work is done.
package final class ScratchFile: Sendable {
  package let path: String
  package let byteCount: Int
  /// Whether there was none of this size.
  package let isNew: Bool
  private let descriptor: Int32

  /// Opens a file, or makes it.
  ///
  /// - Parameters:
  ///   - path: where it is; what is there of another size is replaced.
  ///   - byteCount: its size.
  /// - Throws: `ModelFileError` if it cannot be made or the disk is too full.
  package init(path: String, byteCount: Int) throws(ModelFileError) {
    self.path = path
    self.byteCount = byteCount
    descriptor = FileSystem.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw AtomicFile.failure(path, "cannot open") }
    var status = stat()
    isNew = fstat(descriptor, &status) != 0 || Int(status.st_size) != byteCount
    guard isNew else { return }
    // From here on, `deinit` closes the file after an error, too.
    do throws(ModelFileError) {
      guard ftruncate(descriptor, 0) == 0 else { throw AtomicFile.failure(path, "cannot write") }
      try AtomicFile.checkSpace(for: byteCount, at: path)
      errno = SystemCalls.reserve(descriptor, byteCount)
      // Not every file system can reserve; then writing has to show.
      if errno == ENOSPC || errno == EDQUOT || errno == EFBIG {
        throw AtomicFile.failure(
          path, "cannot allocate \((byteCount + 999_999) / 1_000_000) MB on its disk")
      }
      guard ftruncate(descriptor, off_t(byteCount)) == 0 else {
        throw AtomicFile.failure(path, "cannot write")
      }
    } catch {
      FileSystem.unlink(path)
      throw error
    }
  }

  deinit { close(descriptor) }

  /// Reads floats.
  ///
  /// - Parameters:
  ///   - count: how many.
  ///   - offset: bytes before the first.
  /// - Returns: the values.
  /// - Throws: `ModelFileError` if they are not there or cannot be read.
  package func floats(_ count: Int, at offset: Int) throws(ModelFileError) -> [Float] {
    var fault: ModelFileError?
    let values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      do throws(ModelFileError) {
        try transfer(UnsafeMutableRawBufferPointer(buffer), at: offset, "read") {
          pread(descriptor, $0, $1, off_t($2))
        }
        initialized = count
      } catch {
        fault = error
      }
    }
    if let fault { throw fault }
    return values
  }

  /// Writes floats.
  ///
  /// - Parameters:
  ///   - values: what to write.
  ///   - offset: bytes before the first.
  /// - Throws: `ModelFileError` if they cannot be written.
  package func write(_ values: [Float], at offset: Int) throws(ModelFileError) {
    var fault: ModelFileError?
    values.withUnsafeBytes { bytes in
      do throws(ModelFileError) {
        try transfer(UnsafeMutableRawBufferPointer(mutating: bytes), at: offset, "write") {
          pwrite(descriptor, $0, $1, off_t($2))
        }
      } catch {
        fault = error
      }
    }
    if let fault { throw fault }
  }

  private func transfer(
    _ bytes: UnsafeMutableRawBufferPointer, at offset: Int, _ verb: String,
    _ call: (UnsafeMutableRawPointer, Int, Int) -> Int
  ) throws(ModelFileError) {
    guard let base = bytes.baseAddress else { return }
    var done = 0
    while done < bytes.count {
      let count = call(base + done, bytes.count - done, offset + done)
      if count > 0 {
        done += count
      } else if count == 0 || errno != EINTR {
        if count == 0 { errno = EIO }
        throw AtomicFile.failure(path, "cannot \(verb)", verb == "read" ? .unreadable : .unwritten)
      }
    }
  }

  /// Waits until everything is on the disk.
  package func synchronize() throws(ModelFileError) {
    guard fdatasync(descriptor) == 0 else {
      throw AtomicFile.failure(path, "cannot write", .unwritten)
    }
  }
}
