import BlockFormats
import Checkpoints
import ModelFiles
import TestSupport
import Testing

@Suite("Checkpoints that other libraries quantized are named")
struct ForeignQuantizationTests {
  typealias Tensor = RawSafetensors.Tensor

  struct Case: Sendable, CustomTestStringConvertible {
    let library: String
    /// Type of `BASE.weight`; nil where there is none of that name.
    let weight: ElementType?
    let companions: [(name: String, type: ElementType, shape: [Int])]
    var testDescription: String { library }

    init(
      _ library: String, _ weight: ElementType?,
      _ companions: [(name: String, type: ElementType, shape: [Int])]
    ) {
      (self.library, self.weight, self.companions) = (library, weight, companions)
    }
  }

  static let cases = [
    Case(
      "bitsandbytes (NF4)", .u8,
      [
        ("weight.absmax", .f32, [1]), ("weight.quant_map", .f32, [16]),
        ("weight.quant_state.bitsandbytes__nf4", .u8, [2]),
      ]),
    Case(
      "bitsandbytes (FP4)", .u8, [("weight.quant_state.bitsandbytes__fp4", .u8, [2])]),
    Case("bitsandbytes (LLM.int8)", .i8, [("SCB", .f32, [4]), ("weight_format", .u8, [])]),
    Case("torchao", nil, [("_weight_qdata", .i8, [4, 8]), ("_weight_scale", .f32, [4])]),
    Case("quanto", nil, [("weight._data", .i8, [4, 8]), ("weight._scale", .f32, [4, 1])]),
    Case("SDNQ", .u8, [("scale", .f32, [4, 1]), ("zero_point", .f32, [4, 1])]),
    Case("SDNQ", .i8, [("scale", .f32, [4, 1]), ("svd_up", .f32, [4, 2])]),
    Case(
      "NVFP4", .u8, [("weight_scale", .f8_e4m3, [4, 1]), ("weight_scale_2", .f32, [])]),
    Case("NVFP4", .u8, [("weight_scale", .f8_e4m3, [4, 1])]),
    Case("MXFP4", .u8, [("weight_scale", .f8_e8m0, [4, 1])]),
    Case("MXFP8", .f8_e4m3, [("weight_scale", .u8, [4, 1])]),
    Case("MXFP4", nil, [("weight_blocks", .u8, [4, 8]), ("weight_scales", .u8, [4])]),
    Case(
      "GPTQ", nil, [("qweight", .i32, [1, 8]), ("qzeros", .i32, [1, 1]), ("g_idx", .i32, [8])]),
    Case("GPTQ or AWQ", nil, [("qweight", .i32, [1, 8]), ("qzeros", .i32, [1, 1])]),
    Case("ComfyUI (int8)", .i8, [("weight_scale", .f32, [])]),
    Case("ComfyUI (int8)", .i8, [("weight_scale", .f32, [4]), ("comfy_quant", .u8, [2])]),
    Case("MLX", .u32, [("scales", .f16, [4, 1]), ("biases", .f16, [4, 1])]),
    Case("Nunchaku", nil, [("qweight", .i8, [4, 4]), ("wscales", .bf16, [1, 4])]),
    Case("HQQ", nil, [("W_q", .u8, [4, 4])]),
    Case("compressed-tensors", nil, [("weight_packed", .i32, [4, 1])]),
    Case("unknown library (int4)", .i32, [("scales", .f16, [4, 1])]),
  ]

  @Test("by what lies beside their weights", arguments: cases)
  func libraries(_ kind: Case) throws {
    let base = "single_transformer_blocks.0.attn.to_q"
    var tensors = ["to_k", "to_v", "to_out.0"].map {
      Tensor("single_transformer_blocks.0.attn.\($0).weight", [1], [1])
    }
    tensors += ["register_tokens", "pos_embed.pos_embed", "context_embedder.weight"].map {
      Tensor($0, [1], [1])
    }
    if let type = kind.weight { tensors.append(Tensor(base + ".weight", type, [4, 8])) }
    tensors += kind.companions.map { Tensor("\(base).\($0.name)", $0.type, $0.shape) }
    let folder = try TemporaryFolder()
    let path = try folder.write(RawSafetensors.encode(tensors), to: "t.safetensors")
    var hints = ArchitectureHints()
    hints.allowsExtraTensors = true
    let error = #expect(throws: ModelFileError.self) {
      _ = try PartSource(.transformer, path: path, hints: hints)
    }
    #expect(error?.kind == .unsupported)
    let fault = error?.fault ?? ""
    #expect(fault.contains(kind.library) && fault.contains("or a GGUF"), "\(fault)")
    // What is refused is not called complete either.
    let inspection = try ModelInspection(path: path)
    #expect(inspection.faults.map(\.fault) == [fault])
  }
}
