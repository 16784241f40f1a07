import Checkpoints
import Comparison
import Compute
import Conversion
import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("Comparisons")
struct ComparisonTests {
  @Test("what is finished is not computed again; what is damaged is, and nothing else")
  func resuming() async throws {
    let tiny = try TinyComparison()
    let levels = try ["q8_0", "q2_K"].map { try tiny.level($0) }
    let (cells, computed) = try await tiny.run(levels)
    #expect(computed == 6)
    let (again, repeated) = try await tiny.run(levels)
    #expect(repeated == 0 && again.records == cells.records)

    try tiny.folder.write([1, 2, 3], to: "out/images/q2_K/001-s3.png")
    let (third, damaged) = try await tiny.run(levels)
    #expect(damaged == 1)
    #expect(third.records.map { $0.map(\.measures) } == cells.records.map { $0.map(\.measures) })

    // The reference's ways are followed again; what was measured from them stays.
    let trajectories = tiny.store.path("cache/trajectories")
    for name in try FileManager.default.contentsOfDirectory(atPath: trajectories) {
      try tiny.folder.write(Array("damaged".utf8), to: "out/cache/trajectories/" + name)
    }
    let (fourth, lost) = try await tiny.run(levels)
    #expect(lost == 2)
    #expect(fourth.records.map { $0.map(\.measures) } == cells.records.map { $0.map(\.measures) })
  }

  @Test("fewer bits lead farther away, and the reference has nothing to be measured from")
  func measures() async throws {
    let tiny = try TinyComparison()
    let (cells, _) = try await tiny.run(try ["q8_0", "q4_0", "q2_K"].map { try tiny.level($0) })
    #expect(cells.records[0].allSatisfy { $0.measures == nil && $0.failure == nil })
    for subject in tiny.settings.prompts.indices {
      let errors = try cells.records.dropFirst().map {
        try #require($0[subject].measures).velocityError
      }
      #expect(errors[0] > 0 && errors == errors.sorted())
    }
    #expect(cells.failures.isEmpty)
  }

  @Test("a level is converted once; another matrix of importance or type makes another file")
  func levels() throws {
    let tiny = try TinyComparison()
    let first = try tiny.level("q4_0")
    let identity = FileIdentity.text(of: [try #require(first.paths.model)])
    #expect(try tiny.level("q4_0").paths.model == first.paths.model)
    #expect(FileIdentity.text(of: [try #require(first.paths.model)]) == identity)
    #expect(try tiny.level("q5_0").paths.model != first.paths.model)

    let tensor = try #require(
      tiny.reference.weights().tensors.first { $0.name == "double_layers.0.attn.w1q.weight" })
    let columns = try #require(tensor.shape.last)
    let entry = ColumnSquares(
      squares: (0..<columns).map { Double($0 % 7 + 1) }, rows: 1)
    let path = tiny.folder.path("imatrix.gguf")
    try ImportanceMatrix.write(
      [tensor.name: entry], origin: .init(datasets: [], chunkCount: 1), to: path, overwrite: false)
    let maker = try LevelMaker(
      from: tiny.reference, tiny.store, importance: ImportanceMatrix(path: path), quality: .fast)
    let mix = try #require(TypeMix(named: "q4_0"))
    let weighted = try tiny.make(MadeLevel(mix, .imatrix), maker, name: "q4_0")
    #expect(weighted.paths.model != first.paths.model)
    let plain = try tiny.make(MadeLevel(mix, .plain), maker, name: "q4_0")
    #expect(plain.paths.model == first.paths.model)
  }

  @Test("a folder with other files is left alone, unless that is forced")
  func otherFolders() throws {
    let folder = try TemporaryFolder()
    try folder.write([1], to: "holiday.jpg")
    #expect {
      try ComparisonStore(folder: folder.path, overwrite: false)
    } throws: { "\($0)".contains("holds other files") }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["holiday.jpg"])
    _ = try ComparisonStore(folder: folder.path, overwrite: true)
    // From now on it is a comparison's.
    _ = try ComparisonStore(folder: folder.path, overwrite: false)
  }
}
