import Foundation

/// Functions of Linux's C library that Swift's overlay leaves out. They are looked up when they are
/// needed, since older or smaller libraries lack them.
enum SystemCalls {
  private typealias RenameFunction =
    @convention(c) (
      Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32
    ) -> Int32
  private typealias WritebackFunction = @convention(c) (Int32, Int64, Int64, UInt32) -> Int32

  private typealias ReserveFunction = @convention(c) (Int32, Int32, Int64, Int64) -> Int32

  private static let renameFunction = function("renameat2", as: RenameFunction.self)
  private static let writebackFunction = function("sync_file_range", as: WritebackFunction.self)

  private static let reserveFunction = function("fallocate", as: ReserveFunction.self)

  /// Gives a file another name unless something has it already.
  ///
  /// - Parameters:
  ///   - old: the file.
  ///   - new: its new name, on the same file system.
  /// - Returns: 0, or -1 with `errno`: `EEXIST` if the name is taken.
  static func renameNew(_ old: String, _ new: String) -> Int32 {
    /// `RENAME_NOREPLACE` of linux/fs.h.
    let onlyNew: UInt32 = 1
    if let renameFunction {
      let status = FilePaths.withSystemPath(old) { old in
        FilePaths.withSystemPath(new) { renameFunction(AT_FDCWD, old, AT_FDCWD, $0, onlyNew) }
      }
      // Not every file system can do it.
      guard status != 0, errno == EINVAL || errno == ENOSYS else { return status }
    }
    // A second name, then the end of the first, is as safe; a kill between them leaves both.
    let status = FilePaths.withSystemPath(old) { old in
      FilePaths.withSystemPath(new) { link(old, $0) }
    }
    if status == 0 { return FileSystem.unlink(old) }
    guard errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK else {
      return -1
    }
    if FileSystem.linkStatus(new) != nil {
      errno = EEXIST
      return -1
    }
    return FileSystem.rename(old, new)
  }

  /// Asks the system to begin to write part of a file to the disk. A failure does no harm.
  static func startWriteback(_ descriptor: Int32, _ range: Range<Int>) {
    /// `SYNC_FILE_RANGE_WRITE` of linux/fs.h.
    let start: UInt32 = 2
    _ = writebackFunction?(descriptor, Int64(range.lowerBound), Int64(range.count), start)
  }

  /// Allocates space on the disk for the first bytes of a file, whose size stays as it is.
  ///
  /// - Returns: 0 or the error's number.
  static func reserve(_ descriptor: Int32, _ byteCount: Int) -> Int32 {
    /// `FALLOC_FL_KEEP_SIZE` of linux/falloc.h.
    let keepsSize: Int32 = 1
    guard let reserveFunction, byteCount > 0 else { return 0 }
    while reserveFunction(descriptor, keepsSize, 0, Int64(byteCount)) != 0 {
      if errno != EINTR { return errno }
    }
    return 0
  }

  /// Writes to what may be a pipe whose reader has gone: that is an error here, while the signal
  /// that comes with it would end the program.
  ///
  /// - Returns: bytes that were written, or -1 with `errno`.
  static func writeToPipe(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    var (broken, old, pending) = (sigset_t(), sigset_t(), sigset_t())
    sigemptyset(&broken)
    sigaddset(&broken, SIGPIPE)
    sigpending(&pending)
    pthread_sigmask(SIG_BLOCK, &broken, &old)
    let written = write(descriptor, bytes, count)
    let error = errno
    if written < 0, error == EPIPE, sigismember(&pending, SIGPIPE) != 1 {
      // The signal waits for this thread alone.
      var moment = timespec()
      while sigtimedwait(&broken, nil, &moment) < 0, errno == EINTR {}
    }
    pthread_sigmask(SIG_SETMASK, &old, nil)
    errno = error
    return written
  }

  private static func function<Function>(_ name: String, as type: Function.Type) -> Function? {
    // The null handle stands for everything that is loaded.
    dlsym(nil, name).map { unsafeBitCast($0, to: type) }
  }
}
