import Foundation

/// A file that is written piece by piece under a temporary name and gets its own when it is whole.
///
/// Devices and pipes are written in place, since renaming would replace them. An object that goes
/// before `commit` leaves neither a temporary file nor a changed old one.
package final class AtomicFileStream {
  /// Where the file will be.
  package let path: String
  /// Where it is meanwhile; nil for devices.
  private let temporaryPath: String?
  /// -1 once the file is closed.
  private var descriptor: Int32
  private let mayReplace: Bool
  /// Bytes written, and how many of them the system was asked to bring to the disk.
  private var (byteCount, startedBytes) = (0, 0)

  /// Bytes that are collected before the system is asked to write them.
  private static let writebackBytes = 32 << 20

  /// Creates the temporary file.
  ///
  /// - Parameters:
  ///   - path: where the content goes.
  ///   - overwrite: whether an existing file may be replaced.
  ///   - byteCount: bytes to come, where known; checked against the free space.
  /// - Throws: `ModelFileError` if the name is taken, the folder not writable or the disk too full.
  package init(
    path: String, overwrite: Bool, byteCount: Int? = nil
  ) throws(ModelFileError) {
    self.path = path
    mayReplace = overwrite
    if try AtomicFile.existingKind(of: path, overwrite: overwrite) == .device {
      // O_NONBLOCK only for opening: a pipe that nobody reads is an error, not a wait.
      descriptor = FileSystem.open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK)
      temporaryPath = nil
      guard descriptor >= 0 else { throw AtomicFile.failure(path, "cannot open") }
      _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
    } else {
      if let byteCount { try AtomicFile.checkSpace(for: byteCount, at: path) }
      (temporaryPath, descriptor) = try AtomicFile.createTemporary(for: path)
      if let byteCount { try reserve(byteCount) }
    }
  }

  /// Takes the room on the disk, so that nobody else fills it meanwhile.
  private func reserve(_ byteCount: Int) throws(ModelFileError) {
    let code = SystemCalls.reserve(descriptor, byteCount)
    // Not every file system can; then writing has to show.
    guard code == ENOSPC || code == EDQUOT || code == EFBIG else { return }
    errno = code
    let error = AtomicFile.failure(
      path, "cannot get \((byteCount + 999_999) / 1_000_000) MB on its disk")
    discard()
    throw error
  }

  deinit { discard() }

  /// Appends bytes.
  ///
  /// - Throws: `ModelFileError` if the system does not take them; the stream is of no use then.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(ModelFileError) {
    var rest = bytes
    while let base = rest.baseAddress, !rest.isEmpty {
      let count = Foundation.write(descriptor, base, rest.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        throw AtomicFile.failure(path, "cannot write \(bytes.count) bytes", .unwritten)
      }
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      byteCount += count
    }
    startWriteback()
  }

  /// Lets the disk work while the rest is made, so that flushing in the end is short.
  private func startWriteback() {
    guard temporaryPath != nil, byteCount - startedBytes >= Self.writebackBytes else { return }
    SystemCalls.startWriteback(descriptor, startedBytes..<byteCount)
    startedBytes = byteCount
  }

  /// Whether bytes that were written can be replaced: not in devices and pipes.
  var isRewritable: Bool { temporaryPath != nil }

  /// Replaces bytes that were written before.
  ///
  /// - Parameters:
  ///   - bytes: the new ones.
  ///   - offset: bytes of the file before them; all of them must have been written.
  /// - Throws: `ModelFileError` if the system does not take them; the stream is of no use then.
  /// - Precondition: `isRewritable`.
  func replace(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(ModelFileError) {
    var done = 0
    while let base = bytes.baseAddress, done < bytes.count {
      let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset + done))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        throw AtomicFile.failure(path, "cannot write \(bytes.count) bytes", .unwritten)
      }
      done += count
    }
  }

  /// Waits until everything written is on the disk.
  ///
  /// - Throws: `ModelFileError` if it cannot be.
  package func flush() throws(ModelFileError) {
    guard temporaryPath != nil else { return }
    guard fsync(descriptor) == 0 else {
      throw AtomicFile.failure(path, "cannot flush", .unwritten)
    }
  }

  /// Flushes, and gives the file its name.
  ///
  /// - Throws: `ModelFileError`; then the temporary file is gone and an old file untouched, also one
  ///   that came meanwhile if none may be replaced.
  package func commit() throws(ModelFileError) {
    do throws(ModelFileError) {
      try flush()
    } catch {
      discard()
      throw error
    }
    keepOwnership()
    // The lock, which keeps others from removing the file, must outlast closing.
    let lock = dup(descriptor)
    defer { if lock >= 0 { close(lock) } }
    let isClosed = close(descriptor) == 0
    descriptor = -1
    guard let temporaryPath else { return }
    let target = AtomicFile.resolved(path)
    let isNamed =
      isClosed
      && (mayReplace
        ? FileSystem.rename(temporaryPath, target) : SystemCalls.renameNew(temporaryPath, target))
        == 0
    guard isNamed else {
      let error =
        isClosed && !mayReplace && errno == EEXIST
        ? ModelFileError(
          path: path, kind: .unwritable,
          fault: "was created by someone else meanwhile: pass --force to replace it")
        : AtomicFile.failure(path, "cannot finish", .unwritten)
      FileSystem.unlink(temporaryPath)
      throw error
    }
    AtomicFile.flushFolder(of: target)
  }

  /// Gives the new file the old one's owner, where the system lets us, and permissions.
  private func keepOwnership() {
    guard temporaryPath != nil, mayReplace, let old = FileSystem.status(path) else { return }
    _ = fchown(descriptor, old.st_uid, old.st_gid)
    _ = fchmod(descriptor, old.st_mode & 0o777)
  }

  /// Removes what was written; does nothing after `commit`.
  package func discard() {
    guard descriptor >= 0 else { return }
    close(descriptor)
    descriptor = -1
    if let temporaryPath { FileSystem.unlink(temporaryPath) }
  }
}
