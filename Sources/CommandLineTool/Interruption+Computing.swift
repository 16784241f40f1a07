import ArgumentParser
import Machine

extension Interruption {
  /// Does some of the model's work, which a signal ends.
  ///
  /// - Parameters:
  ///   - pool: threads that the work uses beside the model's own.
  ///   - console: where progress was shown.
  ///   - body: the work.
  /// - Returns: what `body` returns.
  /// - Throws: `ExitCode` after a signal, or what `body` throws.
  func computing<Value: Sendable>(
    on pool: ThreadPool, _ console: Console,
    _ body: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    let task = Task { try await body() }
    beginComputing {
      task.cancel()
      pool.cancel()
    }
    let outcome = await task.result
    console.endProgress()
    if let exitCode { throw ExitCode(exitCode) }
    return try outcome.get()
  }
}
