import Foundation

/// A file that is written piece by piece under a temporary name and gets its own when it is whole.
///
/// Devices and pipes are written in place, since renaming would replace them. An object that goes
/// before it is committed leaves neither a temporary file nor a changed old one.
package final class AtomicFileStream {
  /// Where the file will be.
  package let path: String
  /// Where it is meanwhile; nil for devices.
  private let temporaryPath: String?
  /// -1 once the file is closed.
  private var descriptor: Int32
  /// The same file after that, until it has a name.
  private var content: Int32 = -1
  /// Whether the temporary name is gone.
  private var isNamed = false
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
      descriptor = AtomicFile.openDevice(path)
      temporaryPath = nil
      guard descriptor >= 0 else { throw AtomicFile.failure(path, "cannot open") }
    } else {
      if let byteCount { try AtomicFile.checkSpace(for: byteCount, at: path) }
      (temporaryPath, descriptor) = try AtomicFile.createTemporary(for: path)
      if let byteCount { try reserve(byteCount) }
    }
  }

  /// Allocates the space on the disk, so that nobody else fills it meanwhile.
  private func reserve(_ byteCount: Int) throws(ModelFileError) {
    let code = SystemCalls.reserve(descriptor, byteCount)
    // Not every file system can; then writing has to show.
    guard code == ENOSPC || code == EDQUOT || code == EFBIG else { return }
    errno = code
    let error = AtomicFile.failure(
      path, "cannot allocate \((byteCount + 999_999) / 1_000_000) MB on its disk")
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
      let count =
        temporaryPath != nil
        ? Foundation.write(descriptor, base, rest.count)
        : SystemCalls.writeToPipe(descriptor, base, rest.count)
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

  // MARK: Naming

  /// Flushes, and gives the file its name.
  ///
  /// - Throws: `ModelFileError`; then the temporary file is gone and an old file untouched, also
  ///   one that came meanwhile if none may be replaced.
  package func commit() throws(ModelFileError) {
    guard let failure = try close() else { return }
    discard()
    throw failure
  }

  /// Flushes, and gives the file its name, or another one where it cannot have that: what is
  /// finished is not thrown away.
  ///
  /// - Returns: where the file is instead; nil if it has its name.
  /// - Throws: `ModelFileError` if the content is not whole, or no place takes it.
  package func commitAnywhere() throws(ModelFileError) -> RescuedFile? {
    guard let reason = try close() else { return nil }
    defer { discard() }
    let found = try FreePlaces(for: path, ending: "").first { candidate in
      if move(to: candidate) || copy(to: candidate) { return .taken }
      return FreePlaces.isThere(candidate) ? .nameIsInUse : .placeFails
    }
    if let found { return RescuedFile(path: found, reason: reason) }
    guard let temporaryPath, FreePlaces.isThere(temporaryPath) else { throw reason.lost }
    // It stays under the name that it has, and is not a leftover.
    fchmod(content, 0o444)
    isNamed = true
    return RescuedFile(path: temporaryPath, reason: reason)
  }

  /// Ends the content and gives it its name.
  ///
  /// - Returns: why it cannot have the name; then it is still there under its temporary one.
  /// - Throws: `ModelFileError` if the content is not whole.
  private func close() throws(ModelFileError) -> ModelFileError? {
    do throws(ModelFileError) {
      try flush()
    } catch {
      discard()
      throw error
    }
    keepOwnership()
    // The lock, which keeps others from removing the file, must outlast closing.
    content = dup(descriptor)
    let isClosed = Foundation.close(descriptor) == 0
    descriptor = -1
    guard let temporaryPath else {
      endContent()
      return nil
    }
    guard isClosed else {
      let error = AtomicFile.failure(path, "cannot finish", .unwritten)
      discard()
      throw error
    }
    let target = AtomicFile.resolved(path)
    let status =
      mayReplace
      ? FileSystem.rename(temporaryPath, target) : SystemCalls.renameNew(temporaryPath, target)
    guard status == 0 else {
      return !mayReplace && errno == EEXIST
        ? ModelFileError(
          path: path, kind: .unwritable,
          fault: "was created by someone else meanwhile" + ModelFileError.forceAdvice)
        : AtomicFile.failure(path, "cannot finish", .unwritten)
    }
    isNamed = true
    endContent()
    AtomicFile.flushFolder(of: target)
    return nil
  }

  /// Gives the temporary file a name that nothing has.
  private func move(to candidate: String) -> Bool {
    guard let temporaryPath, SystemCalls.renameNew(temporaryPath, candidate) == 0 else {
      return false
    }
    isNamed = true
    AtomicFile.flushFolder(of: candidate)
    return true
  }

  /// Copies the content, which is there even if the temporary file went with its folder.
  private func copy(to candidate: String) -> Bool {
    guard content >= 0, !FreePlaces.isThere(candidate) else { return false }
    do throws(ModelFileError) {
      let copy = try AtomicFileStream(path: candidate, overwrite: false, byteCount: byteCount)
      var buffer = [UInt8](repeating: 0, count: 1 << 20)
      var done = 0
      while done < byteCount {
        let count = pread(content, &buffer, buffer.count, off_t(done))
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return false }
        try buffer.withUnsafeBytes { bytes in
          Result { () throws(ModelFileError) in
            try copy.write(UnsafeRawBufferPointer(rebasing: bytes.prefix(count)))
          }
        }.get()
        done += count
      }
      try copy.commit()
      return true
    } catch {
      return false
    }
  }

  /// Gives the new file the old one's owner, where the system lets us, and permissions.
  private func keepOwnership() {
    guard temporaryPath != nil, mayReplace, let old = FileSystem.status(path) else { return }
    _ = fchown(descriptor, old.st_uid, old.st_gid)
    _ = fchmod(descriptor, old.st_mode & 0o777)
  }

  /// Removes what was written; does nothing after it was committed.
  package func discard() {
    if descriptor >= 0 { Foundation.close(descriptor) }
    descriptor = -1
    if let temporaryPath, !isNamed { FileSystem.unlink(temporaryPath) }
    isNamed = true
    endContent()
  }

  private func endContent() {
    if content >= 0 { Foundation.close(content) }
    content = -1
  }
}
