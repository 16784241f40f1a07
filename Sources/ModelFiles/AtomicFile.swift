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
    FileSystem.unlink(temporary.path)
  }

  /// What can be told of a device without opening it: a pipe's reader would take the end of a mere
  /// check for the end of the content.
  private static func checkDevice(_ path: String) throws(ModelFileError) {
    guard FileSystem.access(path, W_OK) == 0 else { throw failure(path, "cannot write") }
    // Device 1:7 is /dev/full: no byte ever gets in, so trying costs nothing.
    guard let status = FileSystem.status(path), status.st_mode & S_IFMT == S_IFCHR,
      status.st_rdev == 0x107
    else { return }
    let descriptor = FileSystem.open(path, O_WRONLY | O_CLOEXEC)
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
    let stream = try AtomicFileStream(path: path, overwrite: overwrite)
    try bytes.withUnsafeBytes { bytes in
      Result { () throws(ModelFileError) in try stream.write(bytes) }
    }.get()
    try stream.commit()
  }

  enum ExistingKind { case none, regular, device }

  /// What stands under a name that is going to be written.
  static func existingKind(
    of path: String, overwrite: Bool
  ) throws(ModelFileError) -> ExistingKind {
    guard !path.isEmpty else {
      throw ModelFileError(path: path, kind: .unwritable, fault: "the file name is empty")
    }
    guard let status = FileSystem.status(path) else {
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
          path: path, kind: .unwritable, fault: "exists already" + ModelFileError.forceAdvice)
      }
      return .regular
    default: return .device
    }
  }

  /// Opens a device or pipe for writing.
  ///
  /// - Returns: the descriptor; -1 if it cannot be.
  static func openDevice(_ path: String) -> Int32 {
    // What is open already may be a socket, or another user's, which cannot be opened again.
    if path == "/dev/stdout" { return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0) }
    if path == "/dev/stderr" { return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0) }
    // O_NONBLOCK only for opening: a pipe that nobody reads is an error, not a wait.
    let descriptor = FileSystem.open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK)
    if descriptor >= 0 { _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK) }
    return descriptor
  }

  /// Whether a path names no place of a folder where files can lie: a device, a pipe, or something
  /// that is open already.
  package static func isDevice(_ path: String) -> Bool {
    isDescriptor(path)
      || FileSystem.status(path).map { ![S_IFREG, S_IFDIR].contains($0.st_mode & S_IFMT) } ?? false
  }

  /// Whether a path stands for something that the caller has opened already, maybe a file.
  private static func isDescriptor(_ path: String) -> Bool {
    ["/dev/stdout", "/dev/stderr"].contains(path) || path.hasPrefix("/dev/fd/")
      || path.hasPrefix("/proc/self/fd/")
  }

  /// A symbolic link's target, so that writing through a link keeps the link, even one whose target
  /// does not exist yet.
  static func resolved(_ path: String) -> String {
    FileSystem.destination(of: path)
  }

  /// Creates a temporary file and locks it for as long as its descriptor is open, which tells it
  /// apart from what a killed run left.
  static func createTemporary(
    for path: String
  ) throws(ModelFileError) -> (path: String, descriptor: Int32) {
    while true {
      let temporary = try temporaryPath(for: path)
      let descriptor = FileSystem.open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      guard descriptor >= 0 else { throw failure(path, "cannot create a file here") }
      var file = stat()
      // Where files cannot be locked nobody takes one for a leftover either.
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK,
        fstat(descriptor, &file) == 0, file.st_ino == FileSystem.status(temporary)?.st_ino
      else {
        // Someone cleaned up between creation and lock.
        close(descriptor)
        FileSystem.unlink(temporary)
        continue
      }
      return (temporary, descriptor)
    }
  }

  /// Removes temporary files that runs left which were killed while they wrote a file.
  ///
  /// - Parameter path: the file that they were going to be. Files that a living process still
  ///   writes are left alone.
  static func removeLeftovers(of path: String) {
    let path = resolved(path)
    let folder = FileSystem.folder(of: path)
    let start = "." + temporaryStem(of: FileSystem.name(of: path)) + ".tmp-"
    for name in FileSystem.names(in: folder) {
      guard name.hasPrefix(start), isTemporarySuffix(name.dropFirst(start.count)) else { continue }
      let leftover = FileSystem.join(folder, name)
      let descriptor = FileSystem.open(leftover, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
      guard descriptor >= 0 else { continue }
      defer { close(descriptor) }
      var status = stat()
      guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
        // What is finished and could get no other name.
        status.st_mode & S_IWUSR != 0,
        flock(descriptor, LOCK_EX | LOCK_NB) == 0
      else { continue }
      FileSystem.unlink(leftover)
    }
  }

  /// Whether a text is what follows `.tmp-` in our names: two numbers.
  private static func isTemporarySuffix(_ text: Substring) -> Bool {
    let numbers = text.split(separator: "-", omittingEmptySubsequences: false)
    return numbers.count == 2
      && numbers.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
  }

  /// The beginning of a name that leaves room for the longest suffix.
  private static func temporaryStem(of name: String) -> String {
    var stem = name
    while FilePaths.bytes(stem).count + longestSuffix + 1 > 255 { stem.unicodeScalars.removeLast() }
    return stem
  }

  /// Bytes of `.tmp-` and the two largest numbers.
  private static let longestSuffix = ".tmp-\(Int32.max)-\(UInt32.max)".utf8.count

  /// A hidden name that nothing has, in the folder that a path will lie in.
  static func temporaryPath(for path: String) throws(ModelFileError) -> String {
    let path = resolved(path)
    let name = FileSystem.name(of: path)
    let length = FilePaths.bytes(name).count
    guard length <= 255 else {
      throw ModelFileError(
        path: path, kind: .unwritable,
        fault: "file name of \(length) bytes, at most 255 are allowed")
    }
    let suffix = ".tmp-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    return FileSystem.join(FileSystem.folder(of: path), ".\(temporaryStem(of: name))\(suffix)")
  }

  /// Checks that the disk has room, before long work fills it in vain.
  ///
  /// - Parameters:
  ///   - byteCount: bytes that are going to be written.
  ///   - path: where they will go.
  /// - Throws: `ModelFileError` saying how much is missing.
  package static func checkSpace(for byteCount: Int, at path: String) throws(ModelFileError) {
    // Where nobody tells, writing has to show.
    let free = FileSystem.freeBytes(at: FileSystem.folder(of: resolved(path)))
    guard let free, free < UInt64(max(0, byteCount)) else { return }
    throw ModelFileError(
      path: path, kind: .unwritable,
      fault: "needs \(megabytes(UInt64(byteCount))) MB, the disk has \(megabytes(free)) MB free")
  }

  private static func megabytes(_ count: UInt64) -> UInt64 { (count + 999_999) / 1_000_000 }

  static func flushFolder(of path: String) {
    let descriptor = FileSystem.open(
      FileSystem.folder(of: path), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    // Some file systems cannot flush folders; the file itself is safe already.
    fsync(descriptor)
    close(descriptor)
  }

  static func failure(
    _ path: String, _ what: String, _ kind: ModelFileError.Kind = .unwritable
  ) -> ModelFileError {
    ModelFileError(
      path: path, kind: kind, fault: "\(what): \(String(cString: strerror(errno)))")
  }
}
