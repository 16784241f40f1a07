import ArgumentParser
import Comparison
import Conversion
import Foundation
import Machine
import ModelFiles

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
    let progress = CountProgress(console)
    let comparison = Comparison(settings, levels: levels, store: store) { [console] state in
      progress.show(
        state.finishedCells, of: state.cellCount, computed: state.computedCells,
        "\(state.level)  \(state.stage)")
      if state.stage.isEmpty {
        console.detail("\(state.level): \(state.finishedCells) of \(state.cellCount) pictures")
      }
    }
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
        cells, facts: try self.facts(of: levels),
        scores: try ScoreTable(path: store.path("scores.csv")), settings)
      console.progress("writing the report")
      return (report, try report.files(store, on: pool))
    }
    console.endProgress()
    if let code = interruption.exitCode { throw ExitCode(code) }
    return try report.get()
  }

  private func facts(of levels: [ComparisonLevel]) throws -> [LevelFacts] {
    let reference = try levels[0].weights()
    return try levels.map { level in
      let progress = ByteProgress(console, title: "weights of \(level.name)")
      return try LevelFacts(level, reference: levels[0], reference, store, on: pool) {
        progress.show($0, of: $1)
      }
    }
  }
}
