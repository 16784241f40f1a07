import BlockFormats
import ModelFiles

/// Recognizes checkpoints that other libraries quantized in ways that are not read here.
enum ForeignQuantization {
  /// How a library's files are told by a tensor that lies beside a weight.
  private struct Sign {
    /// The end of the tensor's name, or what it contains.
    let mark: String
    let isEnding: Bool
    let library: String

    init(_ mark: String, _ library: String, isEnding: Bool = true) {
      self.mark = mark
      self.library = library
      self.isEnding = isEnding
    }

    func fits(_ name: String) -> Bool { isEnding ? name.hasSuffix(mark) : name.contains(mark) }
  }

  /// Marks that no other file has, in the order in which they decide.
  private static let signs = [
    Sign(".quant_state.bitsandbytes__nf4", "bitsandbytes (NF4)"),
    Sign(".quant_state.bitsandbytes__fp4", "bitsandbytes (FP4)"),
    Sign(".quant_state.", "bitsandbytes", isEnding: false),
    Sign(".weight.absmax", "bitsandbytes (4 bits)"), Sign(".weight.quant_map", "bitsandbytes"),
    Sign(".weight.nested_absmax", "bitsandbytes"), Sign(".SCB", "bitsandbytes (LLM.int8)"),
    Sign(".weight_format", "bitsandbytes (LLM.int8)"),
    Sign("weight_qdata", "torchao"), Sign("weight.qdata", "torchao"),
    Sign(".weight.tensor_impl", "torchao", isEnding: false),
    Sign("_weight_zero_point", "torchao"),
    Sign(".weight._data", "quanto"), Sign(".weight._shift", "quanto"),
    Sign(".weight._scale", "quanto"),
    Sign(".svd_up", "SDNQ"), Sign(".svd_down", "SDNQ"),
    Sign(".wscales", "Nunchaku (SVDQuant)"), Sign(".smooth_factor", "Nunchaku (SVDQuant)"),
    Sign(".wtscale", "Nunchaku (SVDQuant)"), Sign(".wcscales", "Nunchaku (SVDQuant)"),
    Sign(".g_idx", "GPTQ"), Sign(".qzeros", "GPTQ or AWQ"), Sign(".qweight", "GPTQ or AWQ"),
    Sign(".W_q", "HQQ"), Sign(".weight_packed", "compressed-tensors"),
    Sign(".q_weight", "EXL2"), Sign(".trellis", "EXL3"),
    Sign(".weight_scale_2", "ModelOpt or ComfyUI (NVFP4)"),
    Sign(".weight_codebook", "ComfyUI (4-bit codebooks)"), Sign(".codebooks", "AQLM"),
    Sign("_blocks", "MXFP4"),
  ]

  /// The library that quantized a checkpoint, with a tensor that shows it; nil for files of plain
  /// numbers and ggml's types.
  static func find(in archive: TensorArchive) -> (library: String, tensor: String)? {
    guard archive.gguf == nil else { return nil }
    let records = archive.tensors.records
    for sign in signs {
      guard let found = records.first(where: { sign.fits($0.name) }) else { continue }
      // Names that end so by chance have no scales beside them.
      if sign.mark == "_blocks" {
        guard archive.tensors.index(of: found.name.dropLast("blocks".count) + "scales") != nil
        else { continue }
      }
      return (sign.library, found.name)
    }
    for record in records where record.name.hasSuffix(".weight") {
      if let library = library(of: record, in: archive) { return (library, record.name) }
    }
    return nil
  }

  /// The library whose form a weight and the scales beside it have.
  private static func library(of record: TensorRecord, in archive: TensorArchive) -> String? {
    let base = String(record.name.dropLast("weight".count))
    func type(_ companion: String) -> ElementType? {
      archive.tensors.index(of: base + companion).map { archive.tensors.records[$0].type }
    }
    let scale = type("weight_scale")
    switch record.type {
    case .u32, .i32:
      if type("scales") != nil { return type("biases") == nil ? "an int4 library" : "MLX" }
      return "an unknown library (integers of type \(record.type.name))"
    case .i8, .u8, .i16, .i64:
      if scale == .f8_e4m3 { return "ModelOpt or ComfyUI (NVFP4)" }
      if scale == .f8_e8m0 || scale == .u8 { return "ModelOpt or ComfyUI (MXFP4)" }
      if type("comfy_quant") != nil { return record.type == .u8 ? nil : "ComfyUI (int8)" }
      if type("scale") != nil || type("zero_point") != nil { return "SDNQ" }
      if scale != nil { return record.type == .u8 ? nil : "ComfyUI (int8)" }
      return "an unknown library (integers of type \(record.type.name))"
    case .f8_e4m3, .f8_e5m2:
      return scale == .f8_e8m0 || scale == .u8 ? "ModelOpt or ComfyUI (MXFP8)" : nil
    case .f4: return "a library for FP4"
    default: return nil
    }
  }

  /// The line about a checkpoint that cannot be read.
  static func error(_ path: String, _ library: String, _ evidence: String) -> ModelFileError {
    ModelFileError(
      path: path, kind: .unsupported,
      fault: "is quantized by \(library), as \(evidence) shows, which is not read: take the fp16, "
        + "bf16 or fp8 version of the model, or a GGUF")
  }
}
