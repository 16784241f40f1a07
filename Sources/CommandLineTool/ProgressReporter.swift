import Foundation
import Synchronization
import TextToImage

/// Shows the steps of one generation, or of several that follow each other, with speed and remaining
/// time of all of them.
final class ProgressReporter: Sendable {
  private let console: Console
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
  }

  /// Shows where a generation is.
  ///
  /// - Parameters:
  ///   - progress: of the generation.
  ///   - first: how many others were there before it.
  func report(_ progress: GenerationProgress, first: Int = 0) {
    let present = first + progress.images.lowerBound..<first + progress.images.upperBound
    let prefix = prefix(present)
    guard progress.stage == .denoising else {
      console.progress(prefix + progress.stage.rawValue)
      console.detail(prefix + progress.stage.rawValue)
      return
    }
    let state = state.withLock { state in
      state.seconds += progress.seconds
      state.steps += 1
      return state
    }
    let mean = state.seconds / Double(state.steps)
    // Those that are made together share their steps.
    let later = Double(total - present.upperBound) / Double(max(1, present.count))
    let left =
      mean * (Double(progress.stepCount) * later + Double(progress.stepCount - progress.step))
    let bar = progressBar(Double(progress.step) / Double(progress.stepCount))
    console.progress(
      prefix + "\(bar) step \(progress.step)/\(progress.stepCount)  "
        + String(format: "%.2f s/step  ETA ", mean) + formattedDuration(left))
    console.detail(
      prefix + "step \(progress.step)/\(progress.stepCount): sigma \(progress.sigma), "
        + String(format: "%.3f s", progress.seconds))
  }

  private func prefix(_ present: Range<Int>) -> String {
    guard total > 1 else { return "" }
    return present.count > 1
      ? "\(noun)s \(present.lowerBound + 1)-\(present.upperBound)/\(total): "
      : "\(noun) \(present.upperBound)/\(total): "
  }
}
