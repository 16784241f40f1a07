import Dispatch
import Foundation
import Synchronization

/// Turns SIGINT and SIGTERM into the cancellation of a task; a second one ends the program at once.
final class Interruption: @unchecked Sendable {
  /// Written once, by the initializer.
  private let sources: [any DispatchSourceSignal]
  private let received = Mutex<Int32?>(nil)

  /// The exit code for the signal that was received, if one was.
  var exitCode: Int32? { received.withLock { $0 } }

  /// - Parameter cancel: called once, at the first signal.
  init(cancel: @escaping @Sendable () -> Void) {
    let signals = [(SIGINT, ExitStatus.interrupted), (SIGTERM, ExitStatus.terminated)]
    sources = signals.map { number, _ in
      signal(number, SIG_IGN)
      return DispatchSource.makeSignalSource(
        signal: number, queue: .global(qos: .userInteractive))
    }
    for (source, (_, code)) in zip(sources, signals) {
      source.setEventHandler { [self] in
        let isSecond = received.withLock { previous -> Bool in
          defer { previous = previous ?? code }
          return previous != nil
        }
        if isSecond { _exit(code) }
        cancel()
      }
      source.resume()
    }
  }

  /// Restores the default behaviour.
  func end() {
    for source in sources { source.cancel() }
    signal(SIGINT, SIG_DFL)
    signal(SIGTERM, SIG_DFL)
  }
}
