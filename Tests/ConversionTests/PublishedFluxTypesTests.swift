import BlockFormats
import Checkpoints
import Conversion
import Foundation
import TestSupport
import Testing

/// Types on the shapes of FLUX.1-dev: a file with its header and no data, since nothing is read
/// before a plan is carried out.
@Suite("Types of a full-size FLUX.1 model")
struct PublishedFluxTypesTests {
  private let fixture: ConversionFixture
  private let paths: ModelPaths

  init() throws {
    fixture = try ConversionFixture()
    paths = ModelPaths(
      try fixture.writeHeader(of: Self.tensors, "BF16", to: "flux1-dev.safetensors"))
  }

  /// Names and shapes of the published file, written down independently.
  private static var tensors: [(name: String, shape: [Int])] {
    var tensors: [(String, [Int])] = []
    func linear(_ name: String, _ outputs: Int, _ inputs: Int) {
      tensors += [("\(name).weight", [outputs, inputs]), ("\(name).bias", [outputs])]
    }
    for name in ["time_in", "guidance_in"] {
      linear("\(name).in_layer", 3072, 256)
      linear("\(name).out_layer", 3072, 3072)
    }
    linear("vector_in.in_layer", 3072, 768)
    linear("vector_in.out_layer", 3072, 3072)
    linear("img_in", 3072, 64)
    linear("txt_in", 3072, 4096)
    linear("final_layer.linear", 64, 3072)
    linear("final_layer.adaLN_modulation.1", 6144, 3072)
    for layer in 0..<19 {
      for stream in ["img", "txt"] {
        let prefix = "double_blocks.\(layer).\(stream)"
        linear("\(prefix)_mod.lin", 18_432, 3072)
        linear("\(prefix)_attn.qkv", 9216, 3072)
        linear("\(prefix)_attn.proj", 3072, 3072)
        linear("\(prefix)_mlp.0", 12_288, 3072)
        linear("\(prefix)_mlp.2", 3072, 12_288)
        tensors += ["query", "key"].map { ("\(prefix)_attn.norm.\($0)_norm.scale", [128]) }
      }
    }
    for layer in 0..<38 {
      let prefix = "single_blocks.\(layer)"
      linear("\(prefix).modulation.lin", 9216, 3072)
      linear("\(prefix).linear1", 21_504, 3072)
      linear("\(prefix).linear2", 3072, 15_360)
      tensors += ["query", "key"].map { ("\(prefix).norm.\($0)_norm.scale", [128]) }
    }
    return tensors
  }

  private func plan(_ type: String, _ preset: TypePreset = .published) throws -> ConversionPlan {
    try fixture.plan(
      paths, try ConversionFixture.request(type, preset: preset), part: .part("transformer"))
  }

  /// 304 matrices of blocks, 38 of them with queries, keys and values. Beside them 10 matrices at
  /// the borders, 314 biases and 152 scales of heads.
  @Test(
    "mixes have the numbers of tensors of each type that city96's rules give",
    arguments: [
      ("q2_K", [ElementType.q2_K: 304]), ("q3_K_S", [.q3_K: 304]),
      ("q3_K_M", [.q3_K: 266, .q4_K: 38]), ("q3_K_L", [.q3_K: 266, .q4_K: 38]),
      ("q4_K_S", [.q4_K: 304]), ("q4_K_M", [.q4_K: 266, .q5_K: 38]), ("q5_K_S", [.q5_K: 304]),
      ("q5_K_M", [.q5_K: 266, .q6_K: 38]), ("q6_K", [.q6_K: 304]), ("q8_0", [.q8_0: 304]),
      ("q4_0", [.q4_0: 304]), ("q4_1", [.q4_1: 304]), ("q5_0", [.q5_0: 304]),
      ("q5_1", [.q5_1: 304]), ("iq4_xs", [.iq4_xs: 304]),
    ])
  func mixes(_ type: String, _ expected: [ElementType: Int]) throws {
    #expect(try plan(type).counts == expected.merging([.f16: 10, .f32: 466]) { $0 + $1 })
  }

  @Test("the better type is that of the fused matrices of double blocks, and of nothing else")
  func fusedMatrices() throws {
    for tensor in try plan("q4_K_M").tensors where tensor.type == .q5_K {
      #expect(tensor.name.hasPrefix("double_blocks.") && tensor.name.hasSuffix("attn.qkv.weight"))
    }
  }

  @Test("what quantizers leave alone is F16 or F32, by the beginnings of names")
  func keptTensors() throws {
    let kept = [
      "img_in.", "txt_in.", "time_in.", "vector_in.", "guidance_in.", "final_layer.",
    ]
    for tensor in try plan("q4_0").tensors {
      let isKept = tensor.shape.count < 2 || kept.contains { tensor.name.hasPrefix($0) }
      #expect(tensor.type.isBlockQuantized != isKept, "\(tensor.name) \(tensor.type.name)")
    }
  }

  @Test("plain types are plain everywhere")
  func plainTypes() throws {
    #expect(try plan("f16").counts == [.f16: 314, .f32: 466])
    #expect(try plan("bf16").counts == [.bf16: 314, .f32: 466])
    #expect(try plan("f32").counts == [.f32: 780])
  }

  @Test("presets move the types that they say")
  func presets() throws {
    #expect(try plan("q4_K_M", .pure).counts == [.q4_K: 304, .f16: 10, .f32: 466])
    // 76 modulations.
    #expect(
      try plan("q4_K_S", .compact).counts == [.q4_K: 228, .q3_K: 76, .f16: 10, .f32: 466])
    for tensor in try plan("q4_K", .careful).tensors where tensor.type.isBlockQuantized {
      let isOuter = [
        "double_blocks.0.", "double_blocks.1.", "single_blocks.36.", "single_blocks.37.",
      ].contains { tensor.name.hasPrefix($0) }
      let isCareful =
        isOuter || tensor.name.hasSuffix("qkv.weight") || tensor.name.hasSuffix("proj.weight")
      #expect(tensor.type == (isCareful ? .q5_K : .q4_K), "\(tensor.name)")
    }
  }

  /// 19 · 339,738,624 weights in matrices of double blocks and 38 · 141,557,760 of single ones.
  @Test(
    "sizes are those that the formats give, in MiB",
    arguments: [("q8_0", 11_991), ("q4_K", 6348), ("f16", 22_572)])
  func sizes(_ type: String, _ mebibytes: Int) throws {
    let matrices = try plan(type).tensors.filter {
      $0.name.contains("_blocks.") && $0.shape.count == 2
    }
    #expect(matrices.reduce(0) { $0 + $1.byteCount } >> 20 == mebibytes)
  }
}
