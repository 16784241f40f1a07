import BlockFormats
import Checkpoints
import Foundation
import Machine
import ModelFiles
import ModelSynthesis
import StrictJSON
import TestSupport
import Testing

@Suite struct SyntheticModelTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func make(
    _ name: String, _ type: ElementType, seed: UInt64 = 0, threads: Int = 2
  ) throws -> String {
    let path = folder.path(name)
    let written = try SyntheticModel(.tiny, type: type, seed: seed).writeGGUF(
      to: path, overwrite: false, on: ThreadPool(threadCount: threads)
    ) { _, _ in }
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)).count == written)
    return path
  }

  @Test("The same seed gives the same bytes with any number of threads, another one others")
  func determinism() throws {
    let files = try [
      make("1", .q4_K, threads: 1), make("3", .q4_K, threads: 3), make("other", .q4_K, seed: 1),
    ].map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
    #expect(files[0] == files[1])
    #expect(files[0] != files[2])
  }

  @Test("Large matrices get the type, everything else stays plain", arguments: RandomRows.types)
  func types(_ type: ElementType) throws {
    let archive = try TensorArchive(path: try make("a.gguf", type))
    for record in archive.tensors.records {
      let isVector = record.shape.count == 1
      let isMatrix =
        record.shape.count == 2
        && (record.name.contains("_layers.") || record.name.contains("enc."))
        && !record.name.contains("attn_rel_b") || record.name == "token_embd.weight"
      let small = type.isBlockQuantized ? .f16 : type
      #expect(record.type == (isVector ? .f32 : isMatrix ? type : small), "\(record.name)")
    }
  }

  @Test("A cancelled model leaves nothing behind")
  func cancellation() throws {
    let pool = ThreadPool(threadCount: 2)
    let model = try SyntheticModel(.tiny, type: .f16, seed: 0)
    #expect(throws: ComputeError.cancelled) {
      _ = try model.writeGGUF(to: folder.path("a.gguf"), overwrite: false, on: pool) { written, _ in
        if written > 1_000_000 { pool.cancel() }
      }
    }
    #expect(throws: ComputeError.cancelled) {
      _ = try model.writeFolder(to: folder.path("a"), overwrite: false, on: pool) { _, _ in }
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  @Test("Only folders that were made here are replaced, and only if that is wanted")
  func replacement() throws {
    let pool = ThreadPool(threadCount: 2)
    func write(_ name: String, overwrite: Bool) throws {
      _ = try SyntheticModel(.tiny, type: .f16, seed: 0).writeFolder(
        to: folder.path(name), overwrite: overwrite, on: pool
      ) { _, _ in }
    }
    try write("model", overwrite: false)
    let refused = #expect(throws: ModelFileError.self) { try write("model", overwrite: false) }
    #expect(refused?.fault.contains("--force") == true)
    try write("model", overwrite: true)
    try folder.write([1], to: "mine/diary.txt")
    let foreign = #expect(throws: ModelFileError.self) { try write("mine", overwrite: true) }
    #expect(foreign?.fault.contains("not made by this program") == true)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 2)
  }
}
