import ArgumentParser
import Checkpoints
import Compute
import ComputeCPU
import Foundation
import ModelFiles
import Synchronization
import TextToImage

/// The measuring of `imatrix`, with progress, answers to signals, and a file of what was measured
/// so far.
final class ImatrixSession: Sendable {
  private let pipeline: Pipeline
  private let requests: [GenerationRequest]
  private let console: Console
  private let interruption: Interruption
  /// Nil where there is no place for it.
  private let unfinished: UnfinishedMatrix?
  private let state = Mutex(State())

  private struct State {
    /// After the last prompt that is done.
    var sums: UnfinishedMatrix.Sums?
    var savedCount = 0
    var savedAt = ContinuousClock.now
    var hasFailed = false
  }

  /// Seconds of work that a power failure may cost.
  private static let saveInterval = Duration.seconds(5)

  /// - Parameters:
  ///   - pipeline: the model.
  ///   - requests: what is generated to measure on.
  ///   - output: the file that is going to be written.
  ///   - identity: all that sums depend on beside the model's files and the requests.
  ///   - console: where to tell.
  ///   - interruption: what signals do.
  /// - Throws: `GenerationError.invalidRequest`.
  init(
    _ pipeline: Pipeline, _ requests: [GenerationRequest], output: String, identity: String,
    _ console: Console, _ interruption: Interruption
  ) throws(GenerationError) {
    self.pipeline = pipeline
    self.requests = requests
    self.console = console
    self.interruption = interruption
    var parts = [identity, FileIdentity.text(of: pipeline.files)]
    for request in requests { parts.append("\(try pipeline.settings(for: request))") }
    unfinished =
      AtomicFile.isDevice(output)
      ? nil : UnfinishedMatrix(output: output, identity: parts.joined(separator: "\n"))
  }

  /// Runs the prompts that are not done yet.
  ///
  /// - Returns: the sums of all.
  /// - Throws: `GenerationError`, or `ExitCode` after a signal; what was measured is kept then.
  func run() async throws -> [String: ColumnSquares] {
    let start = earlier()
    let first = start?.promptCount ?? 0
    let sums = ActivationSums(start?.entries ?? [:])
    let reporter = ProgressReporter(console, total: requests.count, "prompt")
    let task = Task {
      for index in first..<self.requests.count {
        _ = try await self.pipeline.measureActivations(of: self.requests[index], into: sums) {
          if $0.step == $0.stepCount,
            let note = ResultWarnings.note(
              latents: $0.latents, "at the end of prompt \(index + 1)")
          {
            self.console.note(note)
          }
          reporter.report($0, first: index)
        }
        self.keep(UnfinishedMatrix.Sums(entries: sums.entries, promptCount: index + 1))
      }
    }
    interruption.beginComputing { task.cancel() }
    let outcome = await task.result
    console.endProgress()
    interruption.beginWriting()
    guard case .failure(let error) = outcome else {
      // Should the matrix find no place, its sums have one.
      save()
      return sums.entries
    }
    endEarly()
    if let code = interruption.exitCode { throw ExitCode(code) }
    throw error
  }

  /// The matrix is written: nothing needs to be kept.
  func finish() { unfinished?.remove() }

  /// What an earlier run measured of the same.
  private func earlier() -> UnfinishedMatrix.Sums? {
    guard let unfinished else { return nil }
    for other in unfinished.others {
      console.note("\(other) is of another model, settings or prompts: it is not used, and stays")
    }
    do throws(ModelFileError) {
      guard let sums = try unfinished.load() else { return nil }
      guard sums.promptCount <= requests.count else {
        throw ModelFileError(
          path: unfinished.path, kind: .malformed, fault: "is of more prompts than there are")
      }
      console.note("going on after prompt \(sums.promptCount) of \(requests.count)")
      state.withLock { $0.savedCount = sums.promptCount }
      return sums
    } catch {
      console.note("\(error); it is not used: measuring begins anew")
      return nil
    }
  }

  /// A prompt is done.
  private func keep(_ sums: UnfinishedMatrix.Sums) {
    guard unfinished != nil else { return }
    let isDue = state.withLock { state in
      state.sums = sums
      return ContinuousClock.now - state.savedAt >= Self.saveInterval
    }
    if isDue { save() }
  }

  /// Writes the sums of the prompts that are done.
  private func save() {
    let (sums, savedCount) = state.withLock { ($0.sums, $0.savedCount) }
    guard let unfinished, let sums, sums.promptCount > savedCount else { return }
    do throws(ModelFileError) {
      try unfinished.save(sums)
      state.withLock { state in
        state.savedCount = sums.promptCount
        state.savedAt = .now
      }
    } catch {
      let isFirst = state.withLock { state in
        defer { state.hasFailed = true }
        return !state.hasFailed
      }
      if isFirst { console.note("\(error); what is measured cannot be kept for another run") }
    }
  }

  /// Keeps what there is, and says how to go on.
  private func endEarly() {
    save()
    let count = state.withLock { $0.savedCount }
    guard let unfinished, count > 0 else { return }
    console.note(
      "\(count) of \(requests.count) prompts are kept in \(unfinished.path): the same command goes "
        + "on from there")
  }
}
