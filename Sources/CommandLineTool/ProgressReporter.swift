import Foundation
import Synchronization
import TextToImage

/// Shows the steps of a generation with speed and remaining time.
final class ProgressReporter: Sendable {
  private let console: Console
  private let secondsSoFar = Mutex(0.0)

  init(_ console: Console) { self.console = console }

  func report(_ progress: GenerationProgress) {
    guard progress.stage == .denoising else {
      console.progress(progress.stage.rawValue)
      console.detail(progress.stage.rawValue)
      return
    }
    let total = secondsSoFar.withLock { seconds in
      seconds += progress.seconds
      return seconds
    }
    let mean = total / Double(progress.step)
    let left = mean * Double(progress.stepCount - progress.step)
    let width = 24
    let filled = width * progress.step / progress.stepCount
    let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    console.progress(
      "\(bar) step \(progress.step)/\(progress.stepCount)  "
        + String(format: "%.2f s/step  ETA ", mean) + formattedDuration(left))
    console.detail(
      "step \(progress.step)/\(progress.stepCount): sigma \(progress.sigma), "
        + String(format: "%.3f s", progress.seconds))
  }
}
