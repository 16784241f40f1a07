import Dispatch
import Foundation
import Synchronization

/// Answers SIGINT and SIGTERM during a whole run; a second one ends the program at once.
///
/// What a signal does depends on the phase: before the work begins it ends the program, while
/// pictures are computed it cancels the task, and while files are written the current one is
/// finished first, so that none is left half-written.
final class Interruption: @unchecked Sendable {
  private enum Phase {
    case preparing
    case computing(cancel: @Sendable () -> Void)
    case writing
  }

  private struct State {
    var phase = Phase.preparing
    var exitCode: Int32?
  }

  /// Written once, by the initializer.
  private var sources: [any DispatchSourceSignal] = []
  private let state = Mutex(State())

  /// Takes over both signals.
  init() {
    for (number, code) in [(SIGINT, ExitStatus.interrupted), (SIGTERM, ExitStatus.terminated)] {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(
        signal: number, queue: .global(qos: .userInteractive))
      source.setEventHandler { [weak self] in self?.receive(code) }
      source.resume()
      sources.append(source)
    }
  }

  /// The exit code for the signal that was received, if one was.
  var exitCode: Int32? { state.withLock { $0.exitCode } }

  /// The work begins; `cancel` is called at the first signal.
  func beginComputing(_ cancel: @escaping @Sendable () -> Void) {
    state.withLock { $0.phase = .computing(cancel: cancel) }
  }

  /// Back to ending at once: nothing is at stake.
  func beginPreparing() {
    state.withLock { $0.phase = .preparing }
  }

  /// Files are written from here on.
  func beginWriting() {
    state.withLock { $0.phase = .writing }
  }

  private func receive(_ code: Int32) {
    let cancel = state.withLock { state -> (@Sendable () -> Void)? in
      if state.exitCode != nil { _exit(code) }
      state.exitCode = code
      switch state.phase {
      case .preparing: _exit(code)
      case .computing(let cancel): return cancel
      case .writing: return nil
      }
    }
    cancel?()
  }
}
