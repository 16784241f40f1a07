import Foundation
import Synchronization
import TextToImage

/// Shows the steps of one generation, or of several that follow each other, with speed and remaining
/// time of all of them.
final class ProgressReporter: Sendable {
  private struct State {
    var seconds = 0.0
    var steps = 0
    /// Generations that have begun.
    var runs = 0
  }

  private let console: Console
  private let runCount: Int
  private let state = Mutex(State())

  /// - Parameters:
  ///   - console: where to show it.
  ///   - runCount: generations to come.
  init(_ console: Console, runCount: Int = 1) {
    self.console = console
    self.runCount = runCount
  }

  func report(_ progress: GenerationProgress) {
    guard progress.stage == .denoising else {
      let runs = state.withLock { state in
        if progress.stage == .encodingText { state.runs += 1 }
        return state.runs
      }
      console.progress(prefix(runs) + progress.stage.rawValue)
      console.detail(prefix(runs) + progress.stage.rawValue)
      return
    }
    let state = state.withLock { state in
      state.seconds += progress.seconds
      state.steps += 1
      return state
    }
    let mean = state.seconds / Double(state.steps)
    let left =
      mean * Double(progress.stepCount * (runCount - state.runs + 1) - progress.step)
    let bar = progressBar(Double(progress.step) / Double(progress.stepCount))
    console.progress(
      prefix(state.runs) + "\(bar) step \(progress.step)/\(progress.stepCount)  "
        + String(format: "%.2f s/step  ETA ", mean) + formattedDuration(left))
    console.detail(
      prefix(state.runs) + "step \(progress.step)/\(progress.stepCount): sigma \(progress.sigma), "
        + String(format: "%.3f s", progress.seconds))
  }

  private func prefix(_ runs: Int) -> String {
    runCount > 1 ? "prompt \(runs)/\(runCount): " : ""
  }
}
