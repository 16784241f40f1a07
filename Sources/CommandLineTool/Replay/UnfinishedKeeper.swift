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
    /// Those of an earlier run that are not yet gone on with, and those of this one.
    var file: UnfinishedFile
    /// Steps of the group that is at work that have ended, and all.
    var steps = (done: 0, all: 0)
    var lastWritten: ContinuousClock.Instant
    /// Whether there is a file of this run or of an earlier one.
    var isWritten: Bool
    /// Whether it was said that nothing can be kept.
    var isTold = false
  }

  /// The file; nil if nothing is kept.
  private let path: String?
  private let pace: Pace
  /// Of the pictures' metadata, by job.
  private let fingerprints: [[String]]
  private let console: Console
  private let state: Mutex<State>

  /// - Parameters:
  ///   - path: the file; nil if there is no place for one.
  ///   - pace: when it is written.
  ///   - replaces: whether a file that is there is this run's to replace.
  ///   - fingerprints: of the pictures' metadata, by job.
  ///   - resumed: what an earlier run kept.
  ///   - console: where to say that nothing can be kept.
  init(
    path: String?, pace: Pace, replaces: Bool, fingerprints: [[String]],
    resumed: [String: UnfinishedPicture], _ console: Console
  ) {
    self.path = path
    self.pace = pace
    self.fingerprints = fingerprints
    self.console = console
    let exists = replaces && path.map { FileSystem.exists($0) } ?? false
    state = Mutex(
      State(
        file: UnfinishedFile(pictures: resumed), lastWritten: .now, isWritten: exists))
    if let path, pace != .steps(0) {
      do throws(ModelFileError) {
        try AtomicFile.check(path, overwrite: true)
      } catch {
        state.withLock { tell(error, &$0) }
      }
    }
  }

  /// Notes where the pictures are after a step.
  ///
  /// - Parameters:
  ///   - step: that has ended.
  ///   - jobs: of the run's requests.
  func note(_ step: GenerationStep, jobs: [Int]) {
    guard path != nil, pace != .steps(0) else { return }
    let unfinished = step.unfinished
    state.withLock { state in
      state.steps = (step.step, step.stepCount)
      for picture in step.pictures {
        // One that became undefined has nothing to go on with.
        state.file.pictures[fingerprints[jobs[picture.request]][picture.image]] =
          unfinished[picture]
      }
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
    let name = fingerprints[picture.request][picture.image]
    state.withLock { $0.file.pictures[name] = nil }
  }

  /// Whether there is nothing to go on with.
  var isEmpty: Bool { state.withLock { $0.file.pictures.isEmpty } }

  /// All is done: there is nothing to go on with.
  func end() {
    guard let path else { return }
    state.withLock { state in
      if state.isWritten { FileSystem.unlink(path) }
      state.isWritten = false
    }
  }

  /// The run ends before its time: writes what is worth it. Where no file was there before, less
  /// than a third of the usual time is not.
  ///
  /// - Parameter command: what goes on with it.
  /// - Returns: what to say; nil if nothing was kept.
  func endEarly(_ command: String) -> String? {
    guard let path, pace != .steps(0) else { return nil }
    return state.withLock { state in
      guard !state.file.pictures.isEmpty else {
        // What is there is of pictures that are finished.
        if state.isWritten { FileSystem.unlink(path) }
        return nil
      }
      if case .seconds(let seconds) = pace, !state.isWritten,
        .now - state.lastWritten < .seconds(seconds / 3)
      {
        return nil
      }
      guard write(&state) else { return nil }
      let count = state.file.pictures.count
      let what = count > 1 ? "\(count) pictures are" : "a picture is"
      let step =
        state.steps.all > 0 ? " after step \(state.steps.done) of \(state.steps.all)" : ""
      return "\(what) kept in \(path)\(step): \(command) goes on from there"
    }
  }

  /// Writes the file. What cannot be kept is not worth an end of the work.
  @discardableResult
  private func write(_ state: inout State) -> Bool {
    guard let path else { return false }
    do throws(ModelFileError) {
      try AtomicFile.write(state.file.bytes, to: path, overwrite: true)
      state.isWritten = true
      state.lastWritten = .now
      return true
    } catch {
      // It may be possible later.
      tell(error, &state)
      return false
    }
  }

  private func tell(_ error: ModelFileError, _ state: inout State) {
    guard !state.isTold else { return }
    state.isTold = true
    console.note("unfinished pictures cannot be kept: \(error)")
  }
}
