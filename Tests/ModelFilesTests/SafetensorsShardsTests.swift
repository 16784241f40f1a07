import BlockFormats
import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing

@Suite struct SafetensorsShardsTests {
  private let tensors = (0..<5).map {
    TensorDeclaration(name: "t\($0)", type: $0 % 2 == 0 ? .f16 : .f32, shape: [$0 + 1, 2])
  }

  private func write(_ plan: SafetensorsShards, to folder: TemporaryFolder) throws -> String {
    var path = ""
    for shard in plan.shards {
      path = folder.path(shard.fileName)
      let layout = try SafetensorsWriter.layout(
        shard.tensors, metadata: [("format", "pt")], path: path)
      let writer = try TensorFileWriter(path: path, overwrite: false, layout: layout)
      for tensor in shard.tensors {
        let content = Self.content(tensor)
        try content.withUnsafeBytes { try writer.write($0) }
      }
      try writer.finish()
    }
    guard let name = plan.indexName else { return path }
    return try folder.write(Array(plan.index.text().utf8), to: name)
  }

  private static func content(_ tensor: TensorDeclaration) -> [UInt8] {
    (0..<(tensor.byteCount ?? 0)).map {
      UInt8(truncatingIfNeeded: $0) ^ (tensor.name.utf8.last ?? 0)
    }
  }

  @Test("Tensors are read back from one file or several", arguments: [1000, 50, 1])
  func roundTrip(_ maximum: Int) throws {
    let folder = try TemporaryFolder()
    let plan = SafetensorsShards(tensors, stem: "model", maximumByteCount: maximum)
    let archive = try TensorArchive(path: try write(plan, to: folder))
    #expect(archive.tensors.records.map(\.name) == tensors.map(\.name))
    #expect(archive.tensors.records.map(\.type) == tensors.map(\.type))
    #expect(archive.tensors.records.map(\.shape) == tensors.map(\.shape))
    #expect(archive.unlistedCount == 0)
    for (index, tensor) in tensors.enumerated() {
      #expect([UInt8](archive.contents(of: index).bytes) == Self.content(tensor))
    }
  }

  @Test("One file needs no index, several are numbered as diffusers does")
  func names() {
    let single = SafetensorsShards(tensors, stem: "model", maximumByteCount: 1000)
    #expect(single.shards.map(\.fileName) == ["model.safetensors"])
    #expect(single.indexName == nil)
    // 4, 16, 12, 32 and 20 bytes.
    let several = SafetensorsShards(tensors, stem: "model", maximumByteCount: 33)
    #expect(several.shards.map(\.tensors.count) == [3, 1, 1])
    #expect(several.shards.first?.fileName == "model-00001-of-00003.safetensors")
    #expect(several.indexName == "model.safetensors.index.json")
    #expect(several.index["metadata"]?["total_size"]?.integerValue == 84)
    #expect(SafetensorsShards([], stem: "model", maximumByteCount: 1).shards.count == 1)
  }

  @Test("What safetensors cannot hold is refused by name")
  func refusals() {
    let error = #expect(throws: ModelFileError.self) {
      _ = try SafetensorsWriter.layout(
        [TensorDeclaration(name: "t", type: .q4_K, shape: [1, 256])], path: "x.safetensors")
    }
    #expect(error?.fault.contains("Q4_K") == true && error?.kind == .unsupported)
  }
}
