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
    report(progress, numbers: progress.pictures.map { first + $0.image }, finished: first)
  }

  /// Shows where a group of pictures is.
  ///
  /// - Parameters:
  ///   - progress: of the generation.
  ///   - numbers: of the pictures in the run, from 0.
  ///   - finished: how many are finished.
  func report(_ progress: GenerationProgress, numbers: [Int], finished: Int) {
    let title = title(numbers)
    let done = Double(progress.step) / Double(max(1, progress.stepCount))
    let share = (Double(finished) + Double(numbers.count) * done) / Double(max(1, total))
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
      let later = Double(max(0, total - finished - numbers.count)) / Double(max(1, numbers.count))
      let left = Double(progress.stepCount) * later + Double(progress.stepCount - progress.step)
      return steps + String(format: "  %.2f s/step  ETA ", mean) + formattedDuration(mean * left)
    }
    console.detail(
      title + steps + ": sigma \(progress.sigma), " + String(format: "%.3f s", progress.seconds))
  }

  /// Such as `pictures 1-3,7/8: `.
  private func title(_ numbers: [Int]) -> String {
    guard total > 1 else { return "" }
    var ranges: [ClosedRange<Int>] = []
    for number in numbers.sorted().map({ $0 + 1 }) {
      if let last = ranges.last, last.upperBound + 1 == number {
        ranges[ranges.count - 1] = last.lowerBound...number
      } else {
        ranges.append(number...number)
      }
    }
    let names = ranges.map {
      $0.count > 1 ? "\($0.lowerBound)-\($0.upperBound)" : "\($0.lowerBound)"
    }
    return "\(noun)\(numbers.count > 1 ? "s" : "") \(names.joined(separator: ","))/\(total): "
  }
}
