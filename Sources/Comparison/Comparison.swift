import Checkpoints
import Conversion
import Foundation
import ModelFiles
import TextToImage

/// How far a comparison has come.
package struct ComparisonProgress: Sendable {
  /// The level that is worked on.
  package let level: String
  /// Cells that are finished so far, and how many there are.
  package let finishedCells, cellCount: Int
  /// What is happening to the present cell; empty when one has ended.
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

  // MARK: Checks

  /// Finds faults before hours of work: opens the models, resolves every prompt, and compares names
  /// and shapes. Weights are not read.
  ///
  /// - Parameters:
  ///   - settings: prompts, seeds and measures.
  ///   - reference: what the others are compared with.
  ///   - models: the others.
  /// - Returns: what the user should know of the prompts before the work begins.
  /// - Throws: `ModelFileError` for a model that cannot be opened or is of another architecture,
  ///   `GenerationError.invalidRequest` for a prompt.
  package static func check(
    _ settings: ComparisonSettings, _ reference: ComparisonLevel, _ models: [ComparisonLevel]
  ) throws -> [String] {
    let pipeline = try open(reference, settings)
    let subjects = try subjects(settings, pipeline)
    let weights = try reference.weights()
    for model in models {
      let shape = try open(model, settings).shape
      guard shape == pipeline.shape else {
        throw ModelFileError(
          path: model.paths.model ?? model.name, kind: .contradicted,
          fault: "makes \(shape), the reference \(pipeline.shape): only models of one architecture "
            + "can be compared")
      }
      _ = try WeightComparison.pairs(try model.weights(), weights)
    }
    // One of each prompt: seeds make no difference.
    return try pipeline.notes(on: subjects.filter { $0.seed == settings.seeds[0] }.map(\.request))
  }

  private static func open(
    _ level: ComparisonLevel, _ settings: ComparisonSettings
  ) throws -> Pipeline {
    try Pipeline(
      level.paths, hints: level.hints, threadCount: settings.threadCount,
      activations: level.activations, memory: settings.memory)
  }

  private static func subjects(
    _ settings: ComparisonSettings, _ reference: Pipeline
  ) throws -> [ComparisonSubject] {
    try settings.prompts.indices.flatMap { prompt in
      try settings.seeds.map { seed in
        try ComparisonSubject(
          settings.prompts, prompt, seed: seed, points: settings.velocityPoints, reference)
      }
    }
  }

  // MARK: Running

  /// Counts cells for the progress.
  private struct Tally {
    let cellCount: Int
    var finished = 0
    var computed = 0
  }

  /// Computes what is missing.
  ///
  /// - Returns: all cells, `[level][subject]`, prompts in order and seeds within.
  /// - Throws: `ComparisonFailure`, `ModelFileError`.
  package func run() async throws -> ComparisonCells {
    let reference = try Self.open(levels[0], settings)
    let subjects = try Self.subjects(settings, reference)
    let origin = "\(settings.version) \(identity(of: levels[0], reference))"
    var tally = Tally(cellCount: levels.count * subjects.count)
    var records: [[CellRecord]] = []
    for level in levels {
      records.append(try await run(level, subjects, origin, &tally))
    }
    return ComparisonCells(
      levels: levels, subjects: subjects.map { ($0.prompt, $0.seed, $0.settings) },
      records: records)
  }

  /// All of a level that its pictures depend on.
  private func identity(of level: ComparisonLevel, _ pipeline: Pipeline) -> String {
    "\(FileIdentity.text(of: pipeline.files)) \(level.hints) \(level.activations.rawValue) "
      + "\(level.kind)"
  }

  /// Computes the cells of one level that are missing.
  private func run(
    _ level: ComparisonLevel, _ subjects: [ComparisonSubject], _ origin: String,
    _ tally: inout Tally
  ) async throws -> [CellRecord] {
    let pipeline = try Self.open(level, settings)
    let identity = identity(of: level, pipeline)
    var records: [CellRecord] = []
    for subject in subjects {
      let trajectory = "\(ComparisonStore.version) \(origin) \(subject.description)"
      let job = CellJob(
        comparison: self, level: level, pipeline: pipeline, subject: subject,
        trajectoryKey: XXHash64.name(of: trajectory),
        key: XXHash64.name(of: "\(trajectory) \(identity)"))
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

  /// Cells for which there is no picture.
  package var failures: [String] {
    zip(levels, records).flatMap { level, records in
      zip(subjects, records).compactMap { subject, record in
        record.failure.map {
          "level \(level.name), prompt \(subject.prompt + 1), seed \(subject.seed): \($0)"
        }
      }
    }
  }
}
