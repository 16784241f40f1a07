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
  func convert(_ maker: LevelMaker, _ mix: TypeMix) throws -> ComparisonLevel {
    interruption.beginComputing { [pool] in pool.cancel() }
    let progress = ByteProgress(console, title: "converting to \(mix.name)")
    let outcome = Result { try maker.make(mix, on: pool) { progress.show($0, of: $1) } }
    console.endProgress()
    if let code = interruption.exitCode { throw ExitCode(code) }
    interruption.beginPreparing()
    return try outcome.get()
  }

  /// Computes every cell that is missing, compares weights and sums up.
  func run(_ levels: [ComparisonLevel]) async throws -> ComparisonReport {
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
      console.note(
        "\(reporter.finishedCells) of \(reporter.cellCount) pictures are finished; the same command "
          + "goes on from there")
      throw ExitCode(code)
    }
    let cells = try outcome.get()
    let facts = Result { try levels.map { try self.facts($0, levels[0]) } }
    console.endProgress()
    if let code = interruption.exitCode { throw ExitCode(code) }
    return ComparisonReport(
      cells, facts: try facts.get(), scores: try ScoreTable(path: store.path("scores.csv")),
      settings, version: AuraFlowCommand.configuration.version)
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

/// Shows cells, steps and the remaining time.
private final class CellReporter: Sendable {
  private let console: Console
  private let start = ContinuousClock.now
  private let last = Mutex<ComparisonProgress?>(nil)

  init(_ console: Console) { self.console = console }

  var finishedCells: Int { last.withLock { $0?.finishedCells ?? 0 } }
  var cellCount: Int { last.withLock { $0?.cellCount ?? 0 } }

  func report(_ progress: ComparisonProgress) {
    last.withLock { $0 = progress }
    let share = Double(progress.finishedCells) / Double(max(1, progress.cellCount))
    var remaining = ""
    if progress.computedCells > 0 {
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      let left = progress.cellCount - progress.finishedCells
      remaining =
        "  ETA " + formattedDuration(seconds / Double(progress.computedCells) * Double(left))
    }
    console.progress(
      "\(progressBar(share)) \(progress.finishedCells)/\(progress.cellCount)  "
        + "\(progress.level.withoutControlCharacters)  \(progress.stage)\(remaining)")
    if progress.stage.isEmpty {
      console.detail(
        "\(progress.level): \(progress.finishedCells) of \(progress.cellCount) pictures")
    }
  }
}
