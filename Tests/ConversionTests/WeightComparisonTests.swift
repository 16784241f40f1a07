import Checkpoints
import Conversion
import Machine
import ModelFiles
import TestSupport
import Testing

@Suite("Comparing weights")
struct WeightComparisonTests {
  private let fixture: ConversionFixture

  init() throws { fixture = try ConversionFixture() }

  private func source(_ path: String) throws -> ConversionSource {
    try ConversionSource(.all, paths: ModelPaths(path), hints: ArchitectureHints())
  }

  @Test("the same weights differ by nothing")
  func same() throws {
    let model = try source(try fixture.synthetic())
    let differences = try WeightComparison(on: ThreadPool(threadCount: 2))
      .differences(model, model)
    #expect(differences.count > 200)
    #expect(differences.allSatisfy { $0.relativeError == 0 && $0.cosine == 1 })
  }

  @Test("errors are those that the conversion measured, for any number of threads")
  func errors() throws {
    let reference = try fixture.synthetic()
    let outcomes = try fixture.convert(
      ModelPaths(reference), to: "small.gguf", try ConversionFixture.request("q4_K"))
    let (model, origin) = (try source(fixture.folder.path("small.gguf")), try source(reference))
    let differences = try [1, 3].map {
      try WeightComparison(on: ThreadPool(threadCount: $0)).differences(model, origin)
    }
    #expect(differences[0] == differences[1])
    let measured = Dictionary(uniqueKeysWithValues: outcomes.map { ($0.name, $0) })
    for difference in differences[0] {
      let expected = try #require(measured[difference.name]?.relativeError, "\(difference.name)")
      // The converter adds squares of float32 differences.
      #expect(
        abs(difference.relativeError - expected) <= Tolerance.averagedError * expected,
        "\(difference.name)")
      #expect(difference.cosine <= 1 && difference.cosine >= 1 - expected * expected)
    }
  }

  @Test("models of different architectures are told apart by a tensor")
  func architectures() throws {
    let tiny = try source(try fixture.synthetic())
    let other = try source(try fixture.otherModel())
    #expect {
      try WeightComparison(on: ThreadPool(threadCount: 1)).differences(tiny, other)
    } throws: { error in
      "\(error)".contains("only models of one architecture can be compared")
    }
  }
}
