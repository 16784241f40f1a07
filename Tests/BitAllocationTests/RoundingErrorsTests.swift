import BitAllocation
import BlockFormats
import Checkpoints
import Conversion
import Machine
import ModelFiles
import ModelSynthesis
import TestSupport
import Testing

@Suite("Errors of types and groups of matrices")
struct RoundingErrorsTests {
  private let folder: TemporaryFolder
  private let pool = ThreadPool(threadCount: 2)

  init() throws { folder = try TemporaryFolder() }

  private func plan() throws -> ConversionPlan {
    let path = folder.path("tiny.gguf")
    _ = try SyntheticModel(.tiny, type: .f16, seed: 1).writeGGUF(
      to: path, overwrite: true, on: pool
    ) { _, _ in }
    let source = try ConversionSource(
      .all, paths: ModelPaths(model: path), hints: ArchitectureHints())
    return try ConversionPlan(
      source, ConversionPlan.Request(try #require(TypeMix(named: "q4_K"))), path: path)
  }

  @Test("a matrix's error shrinks with its bits, and is the converter's where all rows are taken")
  func errors() throws {
    let plan = try plan()
    let rounding = RoundingErrors(importance: nil, modulation: nil, quality: .fast, on: pool)
    let index = try #require(
      plan.tensors.firstIndex { $0.source.name == "double_layers.0.attn.w1q.weight" })
    let tensor = plan.tensors[index]
    let types = RoundingErrors.types(for: tensor)
    let errors = try rounding.errors(of: tensor, as: types)
    for (better, worse) in [(ElementType.q8_0, ElementType.q6_K), (.q6_K, .q4_K), (.q4_K, .q2_K)] {
      let pair = try [better, worse].map { errors[try #require(types.firstIndex(of: $0))] }
      #expect(pair[0] < pair[1])
    }
    let outcomes = try Converter.write(
      plan, to: folder.path("out.gguf"), overwrite: true, options: ConversionOptions(), on: pool
    ) { _, _ in }
    let measured = try #require(outcomes[index].relativeError)
    let found = errors[try #require(types.firstIndex(of: .q4_K))].squareRoot()
    // A sample of 48 rows of 256 independent weights: its error is known within a few per cent.
    #expect(abs(found / measured - 1) < 0.05)
  }

  @Test("candidates and probes stand from the smallest, wide blocks first")
  func candidates() {
    #expect(
      RoundingErrors.candidates == [
        .q2_K, .q3_K, .iq4_xs, .q4_K, .q5_K, .q6_K, .q4_0, .q5_0, .q5_1, .q8_0, .f16,
      ])
    #expect(RoundingErrors.probes == [.q2_K, .q3_K, .q4_K, .q5_K, .q6_K])
    #expect(RoundingErrors.narrowProbes == [.q4_0, .q5_0])
  }

  @Test("every matrix that is free to choose is in one of few groups")
  func groups() throws {
    let plan = try plan()
    let groups = MatrixGroup.groups(of: plan)
    #expect(groups.count <= 22)
    let members = groups.flatMap(\.tensors)
    #expect(members.count == Set(members).count)
    #expect(Set(members) == Set(plan.tensors.indices.filter { plan.tensors[$0].isChoosable }))
    let names = Set(groups.map(\.name))
    #expect(names.isSuperset(of: ["double.value", "single.down.1", "single.up.2", "text.tokens"]))
    for group in groups where group.name.hasSuffix("modulation") {
      #expect(group.tensors.allSatisfy { plan.tensors[$0].source.name.contains("mod") })
    }
  }
}
