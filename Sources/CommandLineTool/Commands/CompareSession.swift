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
  ///
  /// - Parameters:
  ///   - maker: what makes levels.
  ///   - level: the one to make.
  ///   - name: what it is called.
  ///   - calibration: how it is calibrated, with work kept in a folder, if it is.
  /// - Returns: the level.
  /// - Throws: `ExitCode` after a signal, and whatever converting may throw.
  func convert(
    _ maker: LevelMaker, _ level: MadeLevel, name: String,
    calibration: (_ folder: String) -> CalibrationSession?
  ) async throws -> ComparisonLevel {
    guard var plan = try maker.plan(of: level) else {
      return maker.comparisonLevel(level, name: name)
    }
    let path = maker.path(of: level)
    var calibrated: CalibrationSession.Result?
    if level.rounding == .calibrated, let calibration = calibration(path + ".calibration") {
      let result = try await calibration.calibrate(plan)
      plan = try plan.noting(result.errors, of: maker.source, path: path)
      calibrated = result
    }
    interruption.beginComputing { [pool] in pool.cancel() }
    let progress = ByteProgress(console, title: "converting to \(name)")
    let outcome = Result {
      try maker.make(level, plan, finished: calibrated?.finished, on: pool) {
        progress.show($0, of: $1)
      }
    }
    console.endProgress()
    if let code = interruption.exitCode { throw ExitCode(code) }
    interruption.beginPreparing()
    try outcome.get()
    calibrated?.store.remove()
    return maker.comparisonLevel(level, name: name)
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
