import BlockFormats
import Checkpoints
import Conversion
import Foundation
import ModelFiles
import TestSupport
import Testing

/// Types on the shapes of the published model: a file with its header and no data, since nothing is
/// read before a plan is carried out.
@Suite("Types of a full-size model")
struct PublishedTypesTests {
  private let fixture: ConversionFixture
  private let paths: ModelPaths

  init() throws {
    fixture = try ConversionFixture()
    let tensors = Self.tensors.map { (name: "model.\($0.name)", shape: $0.shape) }
    paths = ModelPaths(try fixture.writeHeader(of: tensors, "F16", to: "full.safetensors"))
  }

  /// Names and shapes of the published transformer (v0.3), written down independently.
  private static var tensors: [(name: String, shape: [Int])] {
    var tensors: [(String, [Int])] = [
      ("positional_encoding", [1, 9216, 3072]), ("register_tokens", [1, 8, 3072]),
      ("init_x_linear.weight", [3072, 16]), ("init_x_linear.bias", [3072]),
      ("t_embedder.mlp.0.weight", [3072, 256]), ("t_embedder.mlp.0.bias", [3072]),
      ("t_embedder.mlp.2.weight", [3072, 3072]), ("t_embedder.mlp.2.bias", [3072]),
      ("cond_seq_linear.weight", [3072, 2048]), ("final_linear.weight", [16, 3072]),
      ("modF.1.weight", [6144, 3072]),
    ]
    func mlp(_ prefix: String) {
      tensors += [
        ("\(prefix).c_fc1.weight", [8192, 3072]), ("\(prefix).c_fc2.weight", [8192, 3072]),
        ("\(prefix).c_proj.weight", [3072, 8192]),
      ]
    }
    func attention(_ prefix: String, _ stream: String) {
      for letter in ["q", "k", "v", "o"] {
        tensors.append(("\(prefix).attn.\(stream)\(letter).weight", [3072, 3072]))
      }
    }
    for index in 0..<4 {
      let prefix = "double_layers.\(index)"
      for stream in ["w1", "w2"] { attention(prefix, stream) }
      for name in ["mlpX", "mlpC"] { mlp("\(prefix).\(name)") }
      for name in ["modX", "modC"] {
        tensors.append(("\(prefix).\(name).1.weight", [18432, 3072]))
      }
    }
    for index in 0..<32 {
      let prefix = "single_layers.\(index)"
      attention(prefix, "w1")
      mlp("\(prefix).mlp")
      tensors.append(("\(prefix).modCX.1.weight", [18432, 3072]))
    }
    return tensors
  }

  private func plan(_ type: String, _ preset: TypePreset = .published) throws -> ConversionPlan {
    try fixture.plan(
      paths, try ConversionFixture.request(type, preset: preset), part: .transformer)
  }

  /// 320 matrices of blocks; 40 of them project values. Beside them 8 small layers and tables, and
  /// 3 biases.
  @Test(
    "mixes have the published numbers of tensors of each type",
    arguments: [
      ("q4_K", [ElementType.q4_K: 320]), ("q4_K_S", [.q4_K: 316, .q5_K: 4]),
      ("q4_K_M", [.q4_K: 280, .q6_K: 40]), ("q5_K_S", [.q5_K: 320]),
      ("q5_K_M", [.q5_K: 280, .q6_K: 40]), ("q3_K_S", [.q3_K: 320]),
      ("q3_K_M", [.q3_K: 280, .q5_K: 2, .q4_K: 38]), ("q3_K_L", [.q3_K: 280, .q5_K: 40]),
      ("q8_0", [.q8_0: 320]), ("q2_K", [.q2_K: 320]), ("iq4_xs", [.iq4_xs: 320]),
    ])
  func mixes(_ type: String, _ expected: [ElementType: Int]) throws {
    #expect(try plan(type).counts == expected.merging([.f16: 8, .f32: 3]) { $0 + $1 })
  }

  @Test("the first value projections are those of the first layers, in the order of the numbers")
  func firstValues() throws {
    let better = try plan("Q4_K_S").tensors.filter { $0.type == .q5_K }.map(\.name)
    #expect(
      better
        == [0, 1].flatMap { layer in
          ["w1v", "w2v"].map { "double_layers.\(layer).attn.\($0).weight" }
        })
  }

  @Test("plain types keep what readers take as numbers in F16 or F32")
  func plainTypes() throws {
    #expect(try plan("f16").counts == [.f16: 328, .f32: 3])
    #expect(try plan("f32").counts == [.f32: 331])
    // Tables of BF16 would reach ComfyUI-GGUF as bytes.
    #expect(try plan("bf16").counts == [.bf16: 326, .f32: 5])
  }

  /// Sizes of the blocks' matrices in MiB: 1,358,954,496 weights in double and 5,435,817,984 in
  /// single layers.
  @Test(
    "sizes are those that the formats give",
    arguments: [("q8_0", 1377 + 5508), ("q4_K", 729 + 2916), ("f16", 2592 + 10368)])
  func sizes(_ type: String, _ mebibytes: Int) throws {
    let plan = try plan(type)
    let layers = plan.tensors.filter { $0.name.contains("_layers.") }
    #expect(layers.reduce(0) { $0 + $1.byteCount } == mebibytes << 20)
    #expect(plan.sourceByteCount == Self.tensors.reduce(0) { $0 + 2 * $1.shape.reduce(1, *) })
  }

  @Test("presets move the types that they say")
  func presets() throws {
    #expect(try plan("q4_K_M", .pure).counts == [.q4_K: 320, .f16: 8, .f32: 3])
    // 40 modulations, 40 values.
    #expect(
      try plan("q4_K_M", .compact).counts == [.q3_K: 40, .q6_K: 40, .q4_K: 240, .f16: 8, .f32: 3])
    let careful = try plan("q4_K", .careful)
    for tensor in careful.tensors where tensor.type.isBlockQuantized {
      let isOuter =
        ["double_layers.0.", "double_layers.1.", "single_layers.30.", "single_layers.31."]
        .contains { tensor.name.hasPrefix($0) }
      let isCareful =
        isOuter || tensor.name.hasSuffix("v.weight") || tensor.name.hasSuffix("o.weight")
      #expect(tensor.type == (isCareful ? .q5_K : .q4_K), "\(tensor.name)")
    }
  }

  @Test("types and mixes stand from the best to the smallest")
  func order() {
    #expect(
      TypeMix.all.map(\.name) == [
        "F32", "BF16", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_K", "Q5_1", "Q5_0", "Q4_K_M",
        "Q4_K_S", "Q4_K", "Q4_1", "Q4_0", "IQ4_NL", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q3_K",
        "Q2_K",
      ])
  }

  @Test("every name of a type is found in any case, and its number is llama.cpp's")
  func names() {
    let numbers: [(String, UInt32)] = [
      ("F32", 0), ("f16", 1), ("Q4_0", 2), ("q4_1", 3), ("q8_0", 7), ("q5_0", 8), ("q5_1", 9),
      ("Q2_k", 10), ("q3_k_s", 11), ("Q3_K_M", 12), ("q3_K_L", 13), ("q4_K_S", 14),
      ("Q4_K_M", 15), ("q5_k_s", 16), ("q5_K_M", 17), ("q6_K", 18), ("iq4_nl", 25), ("IQ4_XS", 30),
      ("bf16", 32),
    ]
    for (name, number) in numbers { #expect(TypeMix(named: name)?.fileType == number, "\(name)") }
    #expect(TypeMix(named: "q7_K") == nil && TypeMix(named: "") == nil)
  }
}
