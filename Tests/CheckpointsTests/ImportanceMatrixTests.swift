import Checkpoints
import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("Importance matrices")
struct ImportanceMatrixTests {
  private let folder: TemporaryFolder
  private static let query = "single_layers.0.attn.w1q.weight"

  init() throws { folder = try TemporaryFolder() }

  /// A tensor of an importance matrix file.
  struct Part: Sendable {
    var name: String
    var shape: [Int]
    var values: [Float]

    static func sums(_ name: String, _ values: [Float]) -> Part {
      Part(name: name + ".in_sum2", shape: [1, values.count], values: values)
    }

    static func count(_ name: String, _ values: Float...) -> Part {
      Part(name: name + ".counts", shape: [values.count, 1], values: values)
    }
  }

  private func write(_ parts: [Part], type: String? = "imatrix") throws -> String {
    let path = folder.path("\(UUID().uuidString).gguf")
    let layout = try GGUFWriter.layout(
      metadata: (type.map { [("general.type", .string($0))] } ?? []) + [
        ("imatrix.chunk_count", .uint32(3))
      ],
      tensors: parts.map { TensorDeclaration(name: $0.name, type: .f32, shape: $0.shape) },
      path: path)
    let writer = try TensorFileWriter(path: path, overwrite: false, layout: layout)
    for part in parts { try part.values.withUnsafeBytes { try writer.write($0) } }
    try writer.finish()
    return path
  }

  @Test("means of any naming are found under any other")
  func namings() throws {
    let path = try write([
      .sums("model.joint_transformer_blocks.1.ff.linear_1.weight", [2, 4]),
      .count("model.joint_transformer_blocks.1.ff.linear_1.weight", 4),
      .sums("encoder.block.2.layer.1.DenseReluDense.wo.weight", [9, 0, 3]),
      .count("encoder.block.2.layer.1.DenseReluDense.wo.weight", 3),
      .sums("blk.0.attn_q.weight", [1]), .count("blk.0.attn_q.weight", 1),
    ])
    let matrix = try ImportanceMatrix(path: path)
    #expect(matrix.count == 2 && matrix.chunkCount == 3)
    #expect(matrix.unknownNames == ["blk.0.attn_q.weight"])
    for name in [
      "double_layers.1.mlpX.c_fc1.weight",
      "model.diffusion_model.double_layers.1.mlpX.c_fc1.weight",
      "joint_transformer_blocks.1.ff.linear_1.weight",
    ] {
      #expect(try matrix.importance(of: name, columns: 2) == [0.5, 1])
    }
    #expect(try matrix.importance(of: "enc.blk.2.ffn_down.weight", columns: 3) == [3, 0, 1])
    #expect(try matrix.importance(of: "enc.blk.1.ffn_down.weight", columns: 3) == nil)
    #expect(try matrix.importance(of: "something", columns: 3) == nil)
    let error = #expect(throws: ModelFileError.self) {
      try matrix.importance(of: "enc.blk.2.ffn_down.weight", columns: 4)
    }
    #expect(error?.fault.contains("3 columns") == true)
    #expect(error?.fault.contains("has 4") == true)
  }

  @Test("the older binary form gives the same means")
  func legacy() throws {
    var bytes = Self.legacy(entries: 2)
    bytes += Self.bytes(of: Int32(7)) + Self.bytes(of: Int32(4)) + Array("text".utf8)
    let matrix = try ImportanceMatrix(path: try folder.write(bytes, to: "imatrix.dat"))
    #expect(matrix.chunkCount == 7 && matrix.count == 2)
    #expect(
      try matrix.importance(of: "single_layers.1.attn.w1q.weight", columns: 3) == [0.25, 0.5, 2])
  }

  /// Entries with 4 calls and 3 values each.
  private static func legacy(entries: Int) -> [UInt8] {
    var list: [UInt8] = bytes(of: Int32(entries))
    for index in 0..<entries {
      let name = Array("single_layers.\(index).attn.w1q.weight".utf8)
      list += bytes(of: Int32(name.count))
      list += name
      list += bytes(of: Int32(4))
      list += bytes(of: Int32(3))
      for value in [1, 2, 8] as [Float] { list += bytes(of: value.bitPattern) }
    }
    return list
  }

  private static func bytes<Number: FixedWidthInteger>(of number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
  }

  struct Fault: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let message: String
    let parts: [Part]
    var type: String? = "imatrix"
  }

  static let faults = [
    Fault(testDescription: "no type", message: "missing, expected 'imatrix'", parts: [], type: nil),
    Fault(
      testDescription: "a model", message: "'model', expected 'imatrix'", parts: [], type: "model"),
    Fault(testDescription: "nothing", message: "holds no tensor", parts: []),
    Fault(
      testDescription: "another model", message: "its first is 'blk.0.attn_q.weight'",
      parts: [.sums("blk.0.attn_q.weight", [1]), .count("blk.0.attn_q.weight", 1)]),
    Fault(
      testDescription: "no counts", message: "'\(query).counts' is missing",
      parts: [.sums(query, [1])]),
    Fault(
      testDescription: "no sums", message: "'\(query).in_sum2' is missing",
      parts: [.count(query, 1)]),
    Fault(
      testDescription: "negative", message: "has -1.0 in column 1",
      parts: [.sums(query, [0, -1]), .count(query, 1)]),
    Fault(
      testDescription: "not a number", message: "has nan in column 0",
      parts: [.sums(query, [.nan]), .count(query, 1)]),
    Fault(
      testDescription: "infinite", message: "has inf in column 2",
      parts: [.sums(query, [1, 1, .infinity]), .count(query, 1)]),
    Fault(
      testDescription: "no rows", message: "nothing was measured",
      parts: [.sums(query, [0]), .count(query, 0)]),
    Fault(
      testDescription: "undefined rows", message: "expected a number above 0",
      parts: [.sums(query, [1]), .count(query, .nan)]),
    Fault(
      testDescription: "two counts", message: "expected [1, columns]",
      parts: [.sums(query, [1]), .count(query, 1, 2)]),
    Fault(
      testDescription: "several matrices", message: "expected [1, columns]",
      parts: [
        Part(name: query + ".in_sum2", shape: [2, 1], values: [1, 1]), .count(query, 1),
      ]),
    Fault(
      testDescription: "empty", message: "expected [1, columns]",
      parts: [Part(name: query + ".in_sum2", shape: [1, 0], values: []), .count(query, 1)]),
    Fault(
      testDescription: "twice", message: "are the same tensor",
      parts: [
        .sums(query, [1]), .count(query, 1), .sums("x." + query, [1]), .count("x." + query, 1),
      ]),
  ]

  @Test("faulty files are refused", arguments: faults)
  func refusals(_ fault: Fault) throws {
    let path = try write(fault.parts, type: fault.type)
    let error = #expect(throws: ModelFileError.self) { try ImportanceMatrix(path: path) }
    #expect(error?.kind == .malformed)
    #expect(error?.fault.contains(fault.message) == true, "\(error?.fault ?? "")")
  }

  @Test("files cut short at any byte are refused, damaged ones never trap")
  func damage() throws {
    let legacy = Self.legacy(entries: 3)
    for count in 0..<legacy.count {
      let path = try folder.write(Array(legacy[..<count]), to: "short.dat")
      #expect(throws: ModelFileError.self) { try ImportanceMatrix(path: path) }
    }
    let sound = try write([.sums(Self.query, [1, 2]), .count(Self.query, 2)])
    for bytes in [legacy, [UInt8](try Data(contentsOf: URL(fileURLWithPath: sound)))] {
      for place in bytes.indices {
        for value in [0x7F, 0xFF] as [UInt8] {
          var changed = bytes
          changed[place] = value
          let path = try folder.write(changed, to: "changed")
          // Any outcome but a trap: some bytes are values, or parts of names.
          _ = try? ImportanceMatrix(path: path).importance(of: Self.query, columns: 2)
        }
      }
    }
  }
}
