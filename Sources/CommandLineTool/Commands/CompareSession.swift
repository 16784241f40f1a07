import ArgumentParser
import Comparison
import Conversion
import Foundation
import ModelFiles
import Synchronization
import Tensors

/// The work of `compare`, with progress and answers to signals.
struct CompareSession {
  let console: Console
  let interruption: Interruption
  let pool: ThreadPool
  let store: ComparisonStore
  let settings: ComparisonSettings

  /// Converts the reference, unless an earlier run did.
  func convert(_ maker: LevelMaker, _ mix: TypeMix, name: String) throws -> ComparisonLevel {
    interruption.beginComputing { [pool] in pool.cancel() }
    let progress = ByteProgress(console, title: "converting to \(mix.name)")
    let outcome = Result { try maker.make(mix, name: name, on: pool) { progress.show($0, of: $1) } }
    console.endProgress()
    if let code = interruption.exitCode { throw ExitCode(code) }
    interruption.beginPreparing()
    return try outcome.get()
  }

  /// Computes every cell that is missing, compares weights and sums up.
  ///
  /// - Parameter levels: the reference first.
  /// - Returns: what was found, and the files to write.
  /// - Throws: `ExitCode` after a signal, and whatever computing may throw.
  func run(
    _ levels: [ComparisonLevel]
  ) async throws -> (ComparisonReport, ComparisonReport.Files) {
    let reporter = CellReporter(console)
    let comparison = Comparison(settings, levels: levels, store: store) { reporter.report($0) }
    let task = Task { try await comparison.run() }
    interruption.beginComputing { [pool] in
      task.cancel()
      pool.cancel()
    }
    let outcome = await task.result
    console.endProgress()
    if let code = interruption.exitCode {
      console.note("finished pictures are kept: the same command goes on from there")
      throw ExitCode(code)
    }
    let cells = try outcome.get()
    let report = Result {
      let report = ComparisonReport(
        cells, facts: try levels.map { try self.facts($0, levels[0]) },
        scores: try ScoreTable(path: store.path("scores.csv")), settings)
      console.progress("writing the report")
      return (report, try report.files(store, on: pool))
    }
    console.endProgress()
    if let code = interruption.exitCode { throw ExitCode(code) }
    return try report.get()
  }

  private func facts(
    _ level: ComparisonLevel, _ reference: ComparisonLevel
  ) throws -> LevelFacts {
    let progress = ByteProgress(console, title: "weights of \(level.name)")
    return try LevelFacts(level, reference, store, on: pool) { progress.show($0, of: $1) }
  }

  /// The text of a file that was just written.
  static func text(of path: String) throws(ModelFileError) -> String {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ModelFileError(path: path, kind: .unreadable, fault: "cannot be read back")
    }
    return String(decoding: data, as: UTF8.self)
  }
}

/// Shows cells, steps and the remaining time: a bar on a terminal, a line now and then elsewhere.
private final class CellReporter: Sendable {
  private static let lineInterval = Duration.seconds(30)

  private let console: Console
  private let start = ContinuousClock.now
  private let lastLine: Mutex<ContinuousClock.Instant>

  init(_ console: Console) {
    self.console = console
    lastLine = Mutex(start)
  }

  func report(_ progress: ComparisonProgress) {
    var text =
      "\(progress.finishedCells)/\(progress.cellCount)  "
      + "\(progress.level.withoutControlCharacters)  \(progress.stage)"
    if progress.computedCells > 0 {
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      let left = progress.cellCount - progress.finishedCells
      text += "  ETA " + formattedDuration(seconds / Double(progress.computedCells) * Double(left))
    }
    if progress.stage.isEmpty { console.detail(text) }
    guard !console.showsProgress else {
      let share = Double(progress.finishedCells) / Double(max(1, progress.cellCount))
      return console.progress("\(progressBar(share)) \(text)")
    }
    let isDue = lastLine.withLock { last in
      guard ContinuousClock.now - last >= Self.lineInterval else { return false }
      last = ContinuousClock.now
      return true
    }
    if isDue { console.line(text) }
  }
}
