import Foundation
import Synchronization
import TextToImage

/// Shows the steps of one generation, or of several that follow each other, with speed and
/// remaining time of all of them.
final class ProgressReporter: Sendable {
  private let console: Console
  private let display: ProgressDisplay
  /// What is counted: pictures or prompts.
  private let noun: String
  private let total: Int
  private let state = Mutex((seconds: 0.0, steps: 0))

  /// - Parameters:
  ///   - console: where to show it.
  ///   - total: pictures or prompts of the run.
  ///   - noun: what they are called.
  init(_ console: Console, total: Int, _ noun: String) {
    self.console = console
    self.total = total
    self.noun = noun
    display = ProgressDisplay(console)
  }

  /// Shows where a generation is.
  ///
  /// - Parameters:
  ///   - progress: of the generation.
  ///   - first: how many others were there before it.
  func report(_ progress: GenerationProgress, first: Int = 0) {
    let present = first + progress.images.lowerBound..<first + progress.images.upperBound
    let title = title(present)
    let done = Double(progress.step) / Double(max(1, progress.stepCount))
    let share =
      (Double(present.lowerBound) + Double(present.count) * done) / Double(max(1, total))
    guard progress.stage == .denoising else {
      display.show(share, title: title, isNew: true) { progress.stage.rawValue }
      return console.detail(title + progress.stage.rawValue)
    }
    let state = state.withLock { state in
      state.seconds += progress.seconds
      state.steps += 1
      return state
    }
    let steps = "step \(progress.step)/\(progress.stepCount)"
    display.show(share, title: title) {
      let mean = state.seconds / Double(state.steps)
      // Those that are made together share their steps.
      let later = Double(total - present.upperBound) / Double(max(1, present.count))
      let left = Double(progress.stepCount) * later + Double(progress.stepCount - progress.step)
      return steps + String(format: "  %.2f s/step  ETA ", mean) + formattedDuration(mean * left)
    }
    console.detail(
      title + steps + ": sigma \(progress.sigma), " + String(format: "%.3f s", progress.seconds))
  }

  private func title(_ present: Range<Int>) -> String {
    guard total > 1 else { return "" }
    return present.count > 1
      ? "\(noun)s \(present.lowerBound + 1)-\(present.upperBound)/\(total): "
      : "\(noun) \(present.upperBound)/\(total): "
  }
}
