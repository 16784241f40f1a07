import Foundation

/// Writes files so that their name always holds either nothing, the old content or the whole new
/// one: a temporary file in the same folder, fsync, rename, fsync of the folder.
package enum AtomicFile {
  /// Checks that `write` has a chance, before hours of work are spent on the content.
  ///
  /// - Parameters:
  ///   - path: where the file will go.
  ///   - overwrite: whether an existing file may be replaced.
  /// - Throws: `ModelFileError` if the name is taken, the folder missing or not writable.
  package static func check(_ path: String, overwrite: Bool) throws(ModelFileError) {
    if try existingKind(of: path, overwrite: overwrite) == .device { return try checkDevice(path) }
    let temporary = try createTemporary(for: path)
    close(temporary.descriptor)
    unlink(temporary.path)
  }

  /// What can be told of a device without opening it: a pipe's reader would take the end of a mere
  /// check for the end of the content.
  private static func checkDevice(_ path: String) throws(ModelFileError) {
    guard access(path, W_OK) == 0 else { throw failure(path, "cannot write") }
    var status = stat()
    // Device 1:7 is /dev/full: no byte ever gets in, so trying costs nothing.
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFCHR, status.st_rdev == 0x107
    else { return }
    let descriptor = open(path, O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(path, "cannot open") }
    defer { close(descriptor) }
    guard Foundation.write(descriptor, [0], 1) == 1 else { throw failure(path, "cannot write") }
  }

  /// Writes a whole file.
  ///
  /// Devices and pipes are written in place, since renaming would replace them.
  ///
  /// - Parameters:
  ///   - bytes: the content.
  ///   - path: where it goes.
  ///   - overwrite: whether an existing file may be replaced.
  /// - Throws: `ModelFileError`; then the temporary file is gone and an old file untouched.
  package static func write(
    _ bytes: [UInt8], to path: String, overwrite: Bool
  ) throws(ModelFileError) {
    if try existingKind(of: path, overwrite: overwrite) == .device {
      // O_NONBLOCK only for opening: a pipe that nobody reads is an error, not a wait.
      let descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK)
      guard descriptor >= 0 else { throw failure(path, "cannot open") }
      defer { close(descriptor) }
      _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
      return try writeAll(bytes, to: descriptor, path: path)
    }
    let temporary = try createTemporary(for: path)
    do throws(ModelFileError) {
      try writeAll(bytes, to: temporary.descriptor, path: path)
      guard fsync(temporary.descriptor) == 0 else {
        throw failure(path, "cannot flush", .unwritten)
      }
    } catch {
      close(temporary.descriptor)
      unlink(temporary.path)
      throw error
    }
    guard close(temporary.descriptor) == 0, rename(temporary.path, resolved(path)) == 0 else {
      let error = failure(path, "cannot finish", .unwritten)
      unlink(temporary.path)
      throw error
    }
    flushFolder(of: resolved(path))
  }

  private enum ExistingKind { case none, regular, device }

  private static func existingKind(
    of path: String, overwrite: Bool
  ) throws(ModelFileError) -> ExistingKind {
    guard !path.isEmpty else {
      throw ModelFileError(path: path, kind: .unwritable, fault: "the file name is empty")
    }
    var status = stat()
    guard stat(path, &status) == 0 else {
      guard errno == ENOENT else { throw failure(path, "cannot write") }
      guard !path.hasSuffix("/") else {
        throw ModelFileError(
          path: path, kind: .unwritable, fault: "names a folder that does not exist, not a file")
      }
      return .none
    }
    switch status.st_mode & S_IFMT {
    case S_IFDIR:
      throw ModelFileError(path: path, kind: .unwritable, fault: "is a folder, not a file name")
    case S_IFREG where isDescriptor(path): return .device
    case S_IFREG:
      guard overwrite else {
        throw ModelFileError(
          path: path, kind: .unwritable, fault: "exists already: pass --force to replace it")
      }
      return .regular
    default: return .device
    }
  }

  /// Whether a path stands for something that the caller has opened already, maybe a file.
  private static func isDescriptor(_ path: String) -> Bool {
    ["/dev/stdout", "/dev/stderr"].contains(path) || path.hasPrefix("/dev/fd/")
      || path.hasPrefix("/proc/self/fd/")
  }

  /// A symbolic link's target, so that writing through a link keeps the link, even one whose target
  /// does not exist yet.
  private static func resolved(_ path: String) -> String {
    if let target = realpath(path, nil) {
      defer { free(target) }
      return String(cString: target)
    }
    let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path)
    guard let target, target != path else { return path }
    return URL(
      fileURLWithPath: target, relativeTo: URL(fileURLWithPath: path).deletingLastPathComponent()
    ).path
  }

  private static func createTemporary(
    for path: String
  ) throws(ModelFileError) -> (path: String, descriptor: Int32) {
    let url = URL(fileURLWithPath: resolved(path))
    let name = url.lastPathComponent
    guard name.utf8.count <= 255 else {
      throw ModelFileError(
        path: path, kind: .unwritable,
        fault: "file name of \(name.utf8.count) bytes, at most 255 are allowed")
    }
    let suffix = ".tmp-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    var stem = name
    while stem.utf8.count + suffix.utf8.count + 1 > 255 { stem.removeLast() }
    let temporary = url.deletingLastPathComponent().appendingPathComponent(".\(stem)\(suffix)").path
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw failure(path, "cannot create a file here") }
    return (temporary, descriptor)
  }

  private static func writeAll(
    _ bytes: [UInt8], to descriptor: Int32, path: String
  ) throws(ModelFileError) {
    let failed: Bool = bytes.withUnsafeBytes { buffer in
      var done = 0
      while done < buffer.count {
        let count = Foundation.write(
          descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return true }
        done += count
      }
      return false
    }
    if failed { throw failure(path, "cannot write \(bytes.count) bytes", .unwritten) }
  }

  private static func flushFolder(of path: String) {
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    // Some file systems cannot flush folders; the file itself is safe already.
    fsync(descriptor)
    close(descriptor)
  }

  private static func failure(
    _ path: String, _ what: String, _ kind: ModelFileError.Kind = .unwritable
  ) -> ModelFileError {
    ModelFileError(
      path: path, kind: kind, fault: "\(what): \(String(cString: strerror(errno)))")
  }
}
