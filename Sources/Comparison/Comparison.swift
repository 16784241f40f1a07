import Foundation
import ImageMetrics
import ModelFiles
import Tensors
import TextToImage

/// How far a comparison has come.
package struct ComparisonProgress: Sendable {
  /// The level that is worked on.
  package let level: String
  /// Cells of all levels that are finished, and how many there are.
  package let finishedCells, cellCount: Int
  /// What is happening to the present cell.
  package let stage: String
  /// Cells that this run has computed so far.
  package let computedCells: Int
}

/// A cell that could not be computed.
package struct ComparisonFailure: Error, CustomStringConvertible {
  package let level: String
  package let prompt: Int
  package let seed: UInt64
  package let error: GenerationError

  package var description: String {
    "level \(level), prompt \(prompt + 1), seed \(seed): \(error)"
  }
}

/// The same prompts, seeds and noise through a reference and every level.
///
/// Finished cells are kept in the store and not computed again, so that an interrupted comparison
/// goes on where it was, and more levels or prompts cost only what they add.
package struct Comparison: Sendable {
  package let settings: ComparisonSettings
  package let store: ComparisonStore
  /// The reference first.
  package let levels: [ComparisonLevel]
  let onProgress: @Sendable (ComparisonProgress) -> Void

  /// - Parameters:
  ///   - settings: prompts, seeds and measures.
  ///   - levels: the reference first; names differ.
  ///   - store: where results are kept.
  ///   - onProgress: told of stages, steps and finished cells.
  package init(
    _ settings: ComparisonSettings, levels: [ComparisonLevel], store: ComparisonStore,
    onProgress: @escaping @Sendable (ComparisonProgress) -> Void = { _ in }
  ) {
    precondition(levels.first?.kind == .reference)
    self.settings = settings
    self.levels = levels
    self.store = store
    self.onProgress = onProgress
  }

  /// Computes what is missing.
  ///
  /// - Returns: all cells, `[level][subject]`, prompts in order and seeds within.
  /// - Throws: `ComparisonFailure`, `ModelFileError` for models that do not fit the reference.
  package func run() async throws -> ComparisonCells {
    let reference = try open(levels[0])
    var subjects: [ComparisonSubject] = []
    for prompt in settings.prompts.indices {
      for seed in settings.seeds {
        subjects.append(
          try ComparisonSubject(
            settings.prompts, prompt, seed: seed, points: settings.velocityPoints, reference))
      }
    }
    let origin = Origin(
      identity: FileIdentity.text(of: reference.files), shape: reference.shape)
    var tally = Tally(cellCount: levels.count * subjects.count)
    var cells: [[CellRecord]] = []
    for level in levels {
      cells.append(try await run(level, subjects, origin, &tally))
    }
    return ComparisonCells(
      levels: levels, subjects: subjects.map { ($0.prompt, $0.seed, $0.settings) }, records: cells)
  }

  /// Facts of the reference that all levels must agree with.
  struct Origin: Sendable {
    let identity: String
    let shape: Pipeline.Shape
  }

  /// Counts cells for the progress.
  struct Tally: Sendable {
    let cellCount: Int
    var finished = 0
    var computed = 0
  }

  // MARK: Levels

  private func open(_ level: ComparisonLevel) throws -> Pipeline {
    try Pipeline(
      level.paths, hints: level.hints, threadCount: settings.threadCount,
      activations: level.activations, memory: settings.memory)
  }

  /// Computes the cells of one level that are missing. The model is open only if there are any.
  private func run(
    _ level: ComparisonLevel, _ subjects: [ComparisonSubject], _ origin: Origin,
    _ tally: inout Tally
  ) async throws -> [CellRecord] {
    let pipeline = try open(level)
    guard pipeline.shape == origin.shape else {
      throw ModelFileError(
        path: pipeline.files.first ?? level.name, kind: .contradicted,
        fault: "makes \(pipeline.shape), the reference \(origin.shape): only models of one "
          + "architecture can be compared")
    }
    let identity = FileIdentity.text(of: pipeline.files)
    resetPeakResidentBytes()
    var records: [CellRecord] = []
    for subject in subjects {
      let job = CellJob(
        comparison: self, level: level, pipeline: pipeline, subject: subject,
        trajectoryKey: fingerprint(
          "\(ComparisonStore.version) \(origin.identity) \(subject.description)"),
        identity: identity)
      if let record = job.finished {
        records.append(record)
      } else {
        let present = tally
        records.append(try await job.compute { report(level, $0, present) })
        tally.computed += 1
      }
      tally.finished += 1
      report(level, "", tally)
    }
    return records
  }

  private func report(_ level: ComparisonLevel, _ stage: String, _ tally: Tally) {
    onProgress(
      ComparisonProgress(
        level: level.name, finishedCells: tally.finished, cellCount: tally.cellCount,
        stage: stage, computedCells: tally.computed))
  }
}

/// All that was measured.
package struct ComparisonCells: Sendable {
  package let levels: [ComparisonLevel]
  /// What the cells of each level were made from, in order.
  package let subjects: [(prompt: Int, seed: UInt64, settings: GenerationSettings)]
  /// `[level][subject]`.
  package let records: [[CellRecord]]
}
