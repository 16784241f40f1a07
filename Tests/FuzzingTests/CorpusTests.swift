import Foundation
import Fuzzing
import Testing

/// What the fuzzer kept: inputs that reach every corner of the readers, and those that once broke
/// one. A trap ends the whole test run.
@Suite struct CorpusTests {
  private static let corpus = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/fuzz-corpus")

  @Test("What the fuzzer kept is read or refused, as promised", arguments: FuzzedReader.allCases)
  func replay(_ reader: FuzzedReader) throws {
    let folder = Self.corpus.appending(path: reader.rawValue)
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    var accepted = 0
    var slowest: (name: String, time: Duration) = ("", .zero)
    for name in names {
      let bytes = try Data(contentsOf: folder.appending(path: name))
      let time = try ContinuousClock().measure {
        do {
          if try bytes.withUnsafeBytes(reader.read) { accepted += 1 }
        } catch let broken as BrokenPromise {
          Issue.record("\(reader.rawValue)/\(name): \(broken)")
        }
      }
      if time > slowest.time { slowest = (name, time) }
    }
    // A corpus that tests nothing would pass too.
    #expect(accepted > 0 && accepted < names.count, "\(accepted) of \(names.count) accepted")
    #expect(slowest.time < .seconds(2), "\(reader.rawValue)/\(slowest.name) took \(slowest.time)")
  }
}
