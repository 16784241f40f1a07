import Foundation
import ModelFiles
import TestSupport
import Testing

/// A small generator with a fixed seed, so that failures can be repeated.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// Changed bytes must be refused or leave a file of which everything can be read. A trap ends the
/// whole test run.
@Suite struct MutationTests {
  private static let count = 5_000

  /// Changes one byte at a time and opens the file; returns how many changes were refused.
  private func refusals(of bytes: [UInt8], path: String, seed: UInt64) throws -> Int {
    var random = SplitMix(state: seed)
    var refused = 0
    for _ in 0..<Self.count {
      let position = Int.random(in: bytes.indices, using: &random)
      var changed = bytes
      changed[position] = UInt8.random(in: 0...255, using: &random)
      try Data(changed).write(to: URL(fileURLWithPath: path))
      do throws(ModelFileError) {
        readEverything(of: try TensorArchive(path: path))
      } catch {
        refused += 1
        #expect(!error.fault.isEmpty)
        #expect(error.path.hasPrefix((path as NSString).deletingLastPathComponent))
      }
    }
    return refused
  }

  /// Reads all that an opened archive hands out.
  private func readEverything(of archive: TensorArchive) {
    var sum = 0
    for (index, record) in archive.tensors.records.enumerated() {
      let contents = archive.contents(of: index)
      #expect(contents.bytes.count == record.byteCount)
      #expect(record.byteCount == 0 || record.elementCount > 0)
      for byte in contents.bytes { sum &+= Int(byte) }
      #expect(archive.tensors.index(of: record.name) == index)
    }
    for (_, value) in archive.gguf?.metadata ?? [] { sum &+= read(value) }
    for (key, value) in archive.safetensorsMetadata { sum &+= key.utf8.count &+ value.utf8.count }
    withExtendedLifetime(sum) {}
  }

  private func read(_ value: GGUFValue) -> Int {
    var sum = value.integer ?? 0
    if value.double?.isNaN == true { sum &+= 1 }
    if value.bool == true { sum &+= 1 }
    sum &+= value.string?.utf8.count ?? 0
    let elements = value.elements()
    #expect(elements?.count == value.elementCount)
    for element in elements ?? [] { sum &+= read(element) }
    return sum
  }

  @Test("Changed GGUF files are refused or readable")
  func changedGGUFFiles() throws {
    let folder = try TemporaryFolder()
    let bytes = GGUFBuilder.sample.bytes
    let refused = try refusals(of: bytes, path: folder.path("a.gguf"), seed: 1)
    #expect(refused > Self.count / 10 && refused < Self.count)
  }

  @Test("Changed safetensors files are refused or readable")
  func changedSafetensorsFiles() throws {
    let folder = try TemporaryFolder()
    let refused = try refusals(
      of: SafetensorsBuilder.sample, path: folder.path("a.safetensors"), seed: 2)
    #expect(refused > Self.count / 10 && refused < Self.count)
  }

  @Test("Changed indices are refused or readable")
  func changedIndices() throws {
    let folder = try TemporaryFolder()
    for name in ["1", "2"] {
      try folder.write(
        SafetensorsWriter.encode([.init(name: name, shape: [2], values: [1, 2])]),
        to: "\(name).safetensors")
    }
    let index = #"""
      {"metadata": {"total_size": 16, "notes": ["abc\n", 1.5e3, true, null]},
      "weight_map": {"1": "1.safetensors", "2": "2.safetensors"}}
      """#
    let refused = try refusals(
      of: Array(index.utf8), path: folder.path("a.index.json"), seed: 3)
    #expect(refused > Self.count / 10 && refused < Self.count)
  }
}
