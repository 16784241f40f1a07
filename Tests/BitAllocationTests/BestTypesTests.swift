import BitAllocation
import BlockFormats
import Checkpoints
import Conversion
import Foundation
import Machine
import ModelFiles
import ModelSynthesis
import TestSupport
import Testing
import TextToImage

@Suite("The best types for a size")
struct BestTypesTests {
  private let folder: TemporaryFolder
  private let pool = ThreadPool(threadCount: 2)
  private let model: String
  private let plan: ConversionPlan

  init() throws {
    folder = try TemporaryFolder()
    model = folder.path("tiny.gguf")
    _ = try SyntheticModel(.tiny, type: .f16, seed: 1).writeGGUF(
      to: model, overwrite: true, on: pool
    ) { _, _ in }
    let source = try ConversionSource(
      .all, paths: ModelPaths(model: model), hints: ArchitectureHints())
    plan = try ConversionPlan(
      source, ConversionPlan.Request(try #require(TypeMix(named: "q4_K"))), path: model)
  }

  /// A measurement, with what it has computed so far.
  private func measurement(passes: Int = 60) -> (SensitivityMeasurement, Counter) {
    var settings = SensitivitySettings(
      prompts: ["a cat", "a dog"], width: 64, height: 64, probe: .q3_K)
    (settings.steps, settings.passes) = (2, passes)
    let store = SensitivityStore(
      folder: folder.path("measured"), files: [model], paths: settings.pathDescription,
      settings: settings.description)
    let computed = Counter()
    let measurement = SensitivityMeasurement(
      settings, plan, store, on: pool,
      open: { [model] overlay in
        var paths = ModelPaths(model: model)
        paths.overlays = overlay.map { [$0] } ?? []
        return try Pipeline(paths, threadCount: 2)
      }, onProgress: { computed.value = $0.computed })
    return (measurement, computed)
  }

  private func best(_ sensitivities: [Double]) throws -> BestTypes {
    try BestTypes(
      plan, measurement().0, sensitivities,
      RoundingErrors(importance: nil, modulation: nil, quality: .fast, on: pool)
    ) { _, _ in }
  }

  @Test("the smallest size has one choice, below there is none; more bytes never bring more error")
  func sizes() throws {
    let count = MatrixGroup.groups(of: plan).count
    let best = try best([Double](repeating: 0.01, count: count))
    let smallest = BestTypes.smallestBytes(plan)
    #expect(best.types(within: smallest - 1) == nil)
    let least = try #require(best.types(within: smallest))
    #expect(least.allocation.bytes <= smallest)
    var error = least.allocation.error
    for bytes in stride(from: smallest, to: 3 * smallest, by: smallest / 5) {
      let found = try #require(best.types(within: bytes)).allocation
      #expect(found.error <= error && found.error >= found.leastError * (1 - 1e-9))
      error = found.error
    }
    // What has no limit is left as it is.
    let all = try #require(best.types(within: 1 << 40))
    #expect(Set(all.types.values).isSubset(of: [.f16, .q8_0]))
  }

  @Test("matrices of a group that matters get more bits than those of one that does not")
  func priorities() throws {
    let groups = MatrixGroup.groups(of: plan)
    let important = try #require(groups.firstIndex { $0.name == "single.up.1" })
    var sensitivities = [Double](repeating: 1e-4, count: groups.count)
    sensitivities[important] = 1
    let found = try #require(
      try best(sensitivities).types(within: BestTypes.smallestBytes(plan) * 3 / 2))
    func bits(_ group: MatrixGroup) -> Double {
      let bits = group.tensors.compactMap { found.types[plan.tensors[$0].source.name] }.map {
        8 * Double($0.bytesPerBlock) / Double($0.elementsPerBlock)
      }
      return bits.reduce(0, +) / Double(max(1, bits.count))
    }
    let others = groups.indices.filter { $0 != important }.map { bits(groups[$0]) }
    #expect(bits(groups[important]) > (others.max() ?? 0))
  }

  @Test("measuring keeps its count of passes, and goes on without following the paths again")
  func measuring() async throws {
    let (first, computed) = measurement()
    let errors = try await first.measure().errors
    #expect(computed.value == first.passCount && first.passCount <= 60)
    #expect(errors.count == first.groups.count && errors.allSatisfy { $0 > 0 && $0 < 1 })
    #expect(first.isFinished)

    // What an interruption after the paths leaves.
    let folder = first.store.folder
    for name in try FileManager.default.contentsOfDirectory(atPath: folder)
    where name.hasPrefix("sensitivity") {
      try FileManager.default.removeItem(atPath: folder + "/" + name)
    }
    let (second, more) = measurement()
    #expect(!second.isFinished)
    #expect(try await second.measure().errors == errors)
    #expect(more.value == (second.groups.count + 1) * second.pointCount)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).count == 3)
  }
}
