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
  private let display: ProgressDisplay
  private let runCount: Int
  private let state = Mutex(State())

  /// - Parameters:
  ///   - console: where to show it.
  ///   - runCount: generations to come.
  init(_ console: Console, runCount: Int = 1) {
    self.console = console
    self.runCount = runCount
    display = ProgressDisplay(console)
  }

  func report(_ progress: GenerationProgress) {
    let state = state.withLock { state in
      switch progress.stage {
      case .encodingText: state.runs += 1
      case .denoising:
        state.seconds += progress.seconds
        state.steps += 1
      case .preparingSchedule, .decoding: break
      }
      return state
    }
    let title = runCount > 1 ? "prompt \(state.runs)/\(runCount): " : ""
    let done = Double(progress.step) / Double(max(1, progress.stepCount))
    let share = (Double(state.runs - 1) + done) / Double(max(1, runCount))
    guard progress.stage == .denoising else {
      display.show(share, title: title, isNew: true) { progress.stage.rawValue }
      return console.detail(title + progress.stage.rawValue)
    }
    let steps = "step \(progress.step)/\(progress.stepCount)"
    display.show(share, title: title) {
      let mean = state.seconds / Double(state.steps)
      let left = progress.stepCount * (runCount - state.runs + 1) - progress.step
      return steps + String(format: "  %.2f s/step  ETA ", mean)
        + formattedDuration(mean * Double(left))
    }
    console.detail(
      title + steps + ": sigma \(progress.sigma), " + String(format: "%.3f s", progress.seconds))
  }
}
