import Checkpoints
import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("Checkpoint parts")
struct EmptyTensorTests {
  @Test("an empty tensor with huge other dimensions is refused by name")
  func empty() throws {
    let folder = try TemporaryFolder()
    let huge = "[0, 4611686018427387904, 4611686018427387904]"
    let names =
      ["q", "k", "v", "o"].map { "enc.blk.0.attn_\($0).weight" }
      + ["token_embd.weight", "enc.blk.0.ffn_up.weight", "enc.output_norm.weight"]
    let members = names.map {
      "\"\($0)\":{\"dtype\":\"F32\",\"shape\":\(huge),\"data_offsets\":[0,0]}"
    }
    let header = Array("{\(members.joined(separator: ","))}".utf8)
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    let path = try folder.write(length + header, to: "empty.safetensors")
    let weights = try PartSource(.textEncoder, path: path).weights
    #expect(weights.shape(of: names[0]) == nil)
    let error = #expect(throws: ModelFileError.self) {
      _ = try weights.matrix(names[0], rows: 4, columns: 4)
    }
    #expect(error?.fault.contains("'\(names[0])' has shape") == true)
  }
}
