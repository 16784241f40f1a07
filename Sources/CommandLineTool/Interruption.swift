import Foundation
import Synchronization

/// Answers SIGINT and SIGTERM during a whole run; a second one ends the program at once.
///
/// What a signal does depends on the phase: before the work begins it ends the program, while
/// pictures are computed it cancels the task, and while files are written the current one is
/// finished first, so that none is left half-written.
///
/// The handler is a plain one, so that there is no moment at which a signal is lost: a dispatch
/// source begins to listen some time after the default action has been switched off.
final class Interruption: Sendable {
  private let cancel = Mutex<(@Sendable () -> Void)?>(nil)

  /// Takes over both signals.
  ///
  /// - Parameter clearsLine: whether stderr shows a progress line that has to be removed.
  init(clearsLine: Bool) {
    var ends: [Int32] = [-1, -1]
    // Without a pipe or a thread the signals keep their default action, which ends the program.
    guard pipe(&ends) == 0 else { return }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    SignalState.prepare(
      pipe: ends[1], clearsLine: clearsLine, takesEscapes: Terminal.error.takesEscapes)
    guard startListening(to: ends[0]) else { return }
    for number in [SIGINT, SIGTERM] {
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { SignalState.receive($0) }
      action.sa_flags = SA_RESTART
      sigaction(number, &action, nil)
    }
  }

  /// The exit code for the signal that was received, if one was.
  var exitCode: Int32? {
    let code = SignalState.exitCode.load(ordering: .sequentiallyConsistent)
    return code == 0 ? nil : code
  }

  /// The work begins; `cancel` is called at the first signal.
  func beginComputing(_ cancel: @escaping @Sendable () -> Void) {
    self.cancel.withLock { $0 = cancel }
    SignalState.endsAtOnce.store(false, ordering: .sequentiallyConsistent)
    // The signal may have come before there was anything to cancel.
    if exitCode != nil { cancel() }
  }

  /// Back to ending at once: nothing is at stake.
  func beginPreparing() {
    SignalState.endsAtOnce.store(true, ordering: .sequentiallyConsistent)
    if let exitCode { _exit(exitCode) }
  }

  /// Files are written from here on.
  func beginWriting() {
    cancel.withLock { $0 = nil }
    SignalState.endsAtOnce.store(false, ordering: .sequentiallyConsistent)
  }

  /// Starts a thread that cancels the work when the handler writes to the pipe: a handler itself
  /// may do next to nothing. It has a thread of its own since the pools are busy computing.
  private func startListening(to descriptor: Int32) -> Bool {
    let listener = Unmanaged.passRetained(Listener(self, descriptor))
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 512 << 10)
    defer { pthread_attr_destroy(&attributes) }
    var thread = pthread_t()
    let status = pthread_create(
      &thread, &attributes,
      { argument in
        if let argument { Unmanaged<Listener>.fromOpaque(argument).takeRetainedValue().run() }
        return nil
      }, listener.toOpaque())
    if status != 0 { listener.release() }
    return status == 0
  }

  private final class Listener {
    private let interruption: Interruption
    private let descriptor: Int32

    init(_ interruption: Interruption, _ descriptor: Int32) {
      self.interruption = interruption
      self.descriptor = descriptor
    }

    func run() {
      var byte: UInt8 = 0
      while true {
        let count = read(descriptor, &byte, 1)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return }
        interruption.cancel.withLock { $0 }?()
      }
    }
  }
}

/// What the signal handler reads and writes: only atomics, since it may interrupt anything.
private enum SignalState {
  /// Where a byte tells the listener that a signal came.
  static let pipe = Atomic<Int32>(-1)
  /// 128 and the number of the first signal that came; 0 before.
  static let exitCode = Atomic<Int32>(0)
  /// Whether nothing is at stake.
  static let endsAtOnce = Atomic<Bool>(true)
  static let clearsLine = Atomic<Bool>(false)
  /// Whether the line can be cleared; else a new one is begun.
  static let takesEscapes = Atomic<Bool>(false)

  /// Sets everything before the handler is installed: statics are initialized at their first use,
  /// which must not be inside of it.
  static func prepare(pipe: Int32, clearsLine: Bool, takesEscapes: Bool) {
    self.pipe.store(pipe, ordering: .sequentiallyConsistent)
    self.clearsLine.store(clearsLine, ordering: .sequentiallyConsistent)
    self.takesEscapes.store(takesEscapes, ordering: .sequentiallyConsistent)
    exitCode.store(0, ordering: .sequentiallyConsistent)
    endsAtOnce.store(true, ordering: .sequentiallyConsistent)
  }

  /// The handler. Calls only what POSIX allows in one.
  static func receive(_ number: Int32) {
    let (isFirst, _) = exitCode.compareExchange(
      expected: 0, desired: 128 + number, ordering: .sequentiallyConsistent)
    guard isFirst, !endsAtOnce.load(ordering: .sequentiallyConsistent) else { end(number) }
    let savedError = errno
    var byte = UInt8(truncatingIfNeeded: number)
    _ = write(pipe.load(ordering: .relaxed), &byte, 1)
    errno = savedError
  }

  private static func end(_ number: Int32) -> Never {
    if clearsLine.load(ordering: .relaxed) {
      // Carriage return, then "erase to the end of the line"; or a new line.
      var sequence: (UInt8, UInt8, UInt8, UInt8) = (0x0D, 0x1B, 0x5B, 0x4B)
      let escapes = takesEscapes.load(ordering: .relaxed)
      if !escapes { sequence.0 = 0x0A }
      _ = write(STDERR_FILENO, &sequence, escapes ? 4 : 1)
    }
    _exit(128 + number)
  }
}
