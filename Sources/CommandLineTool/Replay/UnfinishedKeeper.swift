import Foundation
import ModelFiles
import Synchronization
import TextToImage

/// Keeps what a run needs to go on after an interruption: in memory after each step, and now and
/// then in a file.
final class UnfinishedKeeper: Sendable {
  /// When the file is written.
  enum Pace: Sendable, Equatable {
    /// Each so many steps; never if 0.
    case steps(Int)
    /// When about so many seconds have passed since the last time, at the end of a step.
    case seconds(Double)
  }

  private struct State {
    var file = UnfinishedFile()
    /// Steps of the group that is at work that have ended, and all.
    var steps = (done: 0, all: 0)
    var lastWritten: ContinuousClock.Instant
    /// Whether there is a file of this run or of the one that it goes on with.
    var isWritten: Bool
    var failure: String?
  }

  /// The file; nil if nothing is kept.
  let path: String?
  private let pace: Pace
  /// Of the pictures' metadata, by job.
  private let fingerprints: [[String]]
  private let state: Mutex<State>

  /// - Parameters:
  ///   - path: the file; nil if nothing is to be kept.
  ///   - pace: when it is written.
  ///   - isWritten: whether there is one that this run goes on with.
  ///   - fingerprints: of the pictures' metadata, by job.
  init(path: String?, pace: Pace, isWritten: Bool, fingerprints: [[String]]) {
    self.path = pace == .steps(0) ? nil : path
    self.pace = pace
    self.fingerprints = fingerprints
    state = Mutex(State(lastWritten: .now, isWritten: isWritten))
  }

  /// Notes where the pictures are after a step.
  ///
  /// - Parameters:
  ///   - step: that has ended.
  ///   - jobs: of the run's requests.
  func note(_ step: GenerationStep, jobs: [Int]) {
    guard path != nil else { return }
    let names = step.pictures.map { fingerprints[jobs[$0.request]][$0.image] }
    state.withLock { state in
      state.steps = (step.step, step.stepCount)
      state.file.pictures = Dictionary(zip(names, step.unfinished)) { $1 }
      let isDue =
        switch pace {
        case .steps(let count): step.step % max(1, count) == 0
        case .seconds(let seconds): .now - state.lastWritten >= .seconds(seconds)
        }
      if isDue { write(&state) }
    }
  }

  /// A picture, of a job, is finished and needs nothing any more.
  func finish(_ picture: PictureIndex) {
    guard let path else { return }
    let name = fingerprints[picture.request][picture.image]
    state.withLock { state in
      state.file.pictures[name] = nil
      guard state.file.pictures.isEmpty, state.isWritten else { return }
      FileSystem.unlink(path)
      state.isWritten = false
    }
  }

  /// The run ends before its time: writes what is worth it.
  ///
  /// - Returns: what to say; nil if nothing was kept.
  func endEarly() -> String? {
    guard let path else { return nil }
    return state.withLock { state in
      guard !state.file.pictures.isEmpty else { return nil }
      if case .seconds(let seconds) = pace, !state.isWritten,
        .now - state.lastWritten < .seconds(seconds / 3)
      {
        return nil
      }
      write(&state)
      let count = state.file.pictures.count
      let what = count > 1 ? "\(count) pictures are" : "a picture is"
      return state.failure
        ?? "\(what) kept in \(path) after step \(state.steps.done) of \(state.steps.all): the same "
        + "command with --resume goes on from there"
    }
  }

  /// Writes the file. What cannot be kept is not worth an end of the work.
  private func write(_ state: inout State) {
    guard let path else { return }
    do throws(ModelFileError) {
      try AtomicFile.write(state.file.bytes, to: path, overwrite: true)
      state.isWritten = true
      state.failure = nil
    } catch {
      state.failure = "unfinished pictures could not be kept: \(error)"
    }
    state.lastWritten = .now
  }
}
