import Checkpoints
import Comparison
import Conversion
import Machine
import ModelFiles
import ModelSynthesis
import TestSupport
import Testing
import TextToImage

/// Comparisons of random models that take a fraction of a second.
struct TinyComparison {
  let folder: TemporaryFolder
  let pool = ThreadPool(threadCount: 2)
  let reference: ComparisonLevel
  let store: ComparisonStore
  let settings: ComparisonSettings

  /// Makes the reference.
  ///
  /// - Parameter prompts: pictures have 64x64 pixels and take two steps.
  /// - Throws: if files cannot be written.
  init(prompts: [String] = ["a cat", "a, \"red\" </script>\u{2028}/*STYLE*/ hat"]) throws {
    folder = try TemporaryFolder()
    let path = folder.path("reference.gguf")
    _ = try SyntheticModel(.tiny, type: .f16, seed: 1).writeGGUF(
      to: path, overwrite: true, on: pool
    ) { _, _ in }
    reference = ComparisonLevel(name: "F16", kind: .reference, paths: ModelPaths(model: path))
    store = try ComparisonStore(folder: folder.path("out"), overwrite: false)
    var settings = ComparisonSettings(
      prompts: prompts.map {
        var prompt = PromptLine($0)
        (prompt.width, prompt.height, prompt.steps) = (64, 64, 2)
        return prompt
      }, seeds: [3])
    settings.velocityPoints = 2
    settings.threadCount = 2
    self.settings = settings
  }

  var maker: LevelMaker {
    get throws { try LevelMaker(from: reference, store, importance: nil, quality: .fast) }
  }

  func level(_ type: String) throws -> ComparisonLevel {
    let level = MadeLevel(try #require(TypeMix(named: type)), .plain)
    return try make(level, maker, name: type)
  }

  /// A level, made unless it is there.
  func make(_ level: MadeLevel, _ maker: LevelMaker, name: String) throws -> ComparisonLevel {
    if let plan = try maker.plan(of: level) {
      try maker.make(level, plan, on: pool) { _, _ in }
    }
    return maker.comparisonLevel(level, name: name)
  }

  /// All cells, and how many of them this run computed.
  func run(_ levels: [ComparisonLevel]) async throws -> (ComparisonCells, computed: Int) {
    let computed = Counter()
    let comparison = Comparison(settings, levels: [reference] + levels, store: store) {
      computed.value = $0.computedCells
    }
    return (try await comparison.run(), computed.value)
  }

  /// Writes a file of a report.
  func writeFile(_ path: String, ending: String, _ content: () throws -> [UInt8]) {
    #expect(throws: Never.self) {
      try AtomicFile.write(try content(), to: path, overwrite: true)
    }
  }

  func report(_ cells: ComparisonCells) throws -> ComparisonReport {
    let origin = try reference.weights()
    let facts = try cells.levels.map {
      try LevelFacts($0, reference: reference, origin, store, on: pool) { _, _ in }
    }
    return ComparisonReport(cells, facts: facts, scores: nil, settings)
  }
}
