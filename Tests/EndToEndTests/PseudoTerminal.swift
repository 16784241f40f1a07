import Foundation
import Synchronization

/// A terminal for a program's stderr, and what the program writes to it.
final class PseudoTerminal: Sendable {
  /// The program's side.
  let handle: FileHandle
  private let descriptor: Int32
  private let bytes = Mutex<[UInt8]>([])

  struct Failure: Error {}

  init(columns: Int) throws {
    // `TIOCSPTLCK` and `TIOCGPTN` of asm-generic/ioctls.h, which Swift's module leaves out.
    let (setLock, getNumber): (UInt, UInt) = (0x4004_5431, 0x8004_5430)
    descriptor = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    var (lock, number): (Int32, UInt32) = (0, 0)
    guard descriptor >= 0, ioctl(descriptor, setLock, &lock) == 0,
      ioctl(descriptor, getNumber, &number) == 0
    else { throw Failure() }
    let other = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
    guard other >= 0 else { throw Failure() }
    handle = FileHandle(fileDescriptor: other, closeOnDealloc: true)
    var size = winsize(ws_row: 24, ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
    guard ioctl(descriptor, UInt(TIOCSWINSZ), &size) == 0 else { throw Failure() }
  }

  deinit { close(descriptor) }

  /// Runs the program on the terminal.
  ///
  /// - Returns: its exit code and everything that it wrote.
  func run(
    _ arguments: [String], in folder: URL, environment: [String: String]
  ) throws -> (status: Int32, text: String) {
    let process = try CommandLine.start(
      arguments, in: folder, environment: environment, output: FileHandle.nullDevice,
      errors: handle)
    // A terminal holds little: it has to be read meanwhile.
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    while process.isRunning {
      drain()
      usleep(2000)
    }
    drain()
    return (process.terminationStatus, String(decoding: bytes.withLock { $0 }, as: UTF8.self))
  }

  private func drain() {
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      guard count > 0 else { return }
      bytes.withLock { $0 += buffer[..<count] }
    }
  }
}
