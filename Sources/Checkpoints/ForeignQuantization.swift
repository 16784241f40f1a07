import BlockFormats
import ModelFiles

/// Recognizes checkpoints that other libraries quantized in ways that are not read here.
enum ForeignQuantization {
  /// How a library's files are told by a tensor that lies beside a weight.
  private struct Sign {
    /// The last component of its name, or the one before it.
    let component: String
    /// What the name has before that component; nil for anything.
    let before: String?
    let library: String

    init(_ component: String, _ library: String, after before: String? = nil) {
      (self.component, self.library, self.before) = (component, library, before)
    }
  }

  /// Components that no other file has, in the order in which they decide.
  private static let signs = [
    Sign("bitsandbytes__nf4", "bitsandbytes (NF4)"),
    Sign("bitsandbytes__fp4", "bitsandbytes (FP4)"), Sign("quant_state", "bitsandbytes"),
    Sign("absmax", "bitsandbytes (4 bits)", after: "weight"),
    Sign("nested_absmax", "bitsandbytes (4 bits)", after: "weight"),
    Sign("quant_map", "bitsandbytes", after: "weight"),
    Sign("SCB", "bitsandbytes (LLM.int8)"), Sign("weight_format", "bitsandbytes (LLM.int8)"),
    Sign("_weight_qdata", "torchao"), Sign("weight_qdata", "torchao"),
    Sign("qdata", "torchao", after: "weight"), Sign("tensor_impl", "torchao"),
    Sign("_weight_zero_point", "torchao"),
    Sign("_data", "quanto", after: "weight"), Sign("_shift", "quanto", after: "weight"),
    Sign("_scale", "quanto", after: "weight"),
    Sign("svd_up", "SDNQ"), Sign("svd_down", "SDNQ"),
    Sign("wscales", "Nunchaku (SVDQuant)"), Sign("smooth_factor", "Nunchaku (SVDQuant)"),
    Sign("wtscale", "Nunchaku (SVDQuant)"), Sign("wcscales", "Nunchaku (SVDQuant)"),
    Sign("g_idx", "GPTQ"), Sign("qzeros", "GPTQ or AWQ"), Sign("qweight", "GPTQ or AWQ"),
    Sign("W_q", "HQQ"), Sign("weight_packed", "compressed-tensors"),
    Sign("q_weight", "EXL2"), Sign("trellis", "EXL3"),
    Sign("weight_scale_2", "ModelOpt or ComfyUI (NVFP4)"),
    Sign("weight_codebook", "ComfyUI (4-bit codebooks)"), Sign("codebooks", "AQLM"),
    Sign("weight_blocks", "MXFP4"),
  ]
  private static let signsByComponent = Dictionary(grouping: signs.indices) {
    signs[$0].component
  }

  /// Tensors that show which library quantized a checkpoint: the clearest one of each group of
  /// names with the same first component. None in files of plain numbers and ggml's types.
  ///
  /// - Parameters:
  ///   - archive: an opened checkpoint.
  ///   - matters: whether a tensor, by its index, is of any use.
  /// - Returns: the clearest last.
  static func find(
    in archive: TensorArchive, where matters: (Int) -> Bool
  ) -> [(tensor: String, library: String)] {
    guard archive.gguf == nil else { return [] }
    // Parts have different beginnings where a file has several.
    var found: [Substring: (rank: Int, tensor: String, library: String)] = [:]
    for (index, record) in archive.tensors.records.enumerated()
    where record.name.utf8.count <= 1024 {
      guard let (rank, library) = sign(record, in: archive), matters(index) else { continue }
      let beginning = record.name.prefix { $0 != "." }
      if rank < found[beginning]?.rank ?? .max { found[beginning] = (rank, record.name, library) }
    }
    return found.values.sorted { ($0.rank, $0.tensor) > ($1.rank, $1.tensor) }
      .map { ($0.tensor, $0.library) }
  }

  /// What a tensor shows, and how clearly: the least number is the clearest.
  private static func sign(
    _ record: TensorRecord, in archive: TensorArchive
  ) -> (rank: Int, library: String)? {
    let components = record.name.utf8.split(separator: UInt8(ascii: "."))
      .suffix(3).map { String(Substring($0)) }
    var best: Int?
    for (place, component) in components.enumerated().dropFirst(max(0, components.count - 2)) {
      for sign in signsByComponent[component] ?? [] {
        let before = place > 0 ? components[place - 1] : nil
        guard signs[sign].before == nil || signs[sign].before == before else { continue }
        best = min(sign, best ?? .max)
      }
    }
    if let best { return (best, signs[best].library) }
    guard components.last == "weight" else { return nil }
    return library(of: record, in: archive).map { (signs.count, $0) }
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
      guard type("scales") != nil else { return nil }
      return type("biases") == nil ? "an unknown library (int4)" : "MLX"
    case .i8, .u8, .i16, .i64:
      if scale == .f8_e4m3 { return "ModelOpt or ComfyUI (NVFP4)" }
      if scale == .f8_e8m0 || scale == .u8 { return "ModelOpt or ComfyUI (MXFP4)" }
      if type("comfy_quant") != nil { return record.type == .u8 ? nil : "ComfyUI (int8)" }
      if type("scale") != nil || type("zero_point") != nil { return "SDNQ" }
      return scale == nil || record.type == .u8 ? nil : "ComfyUI (int8)"
    case .f8_e4m3, .f8_e5m2:
      return scale == .f8_e8m0 || scale == .u8 ? "ModelOpt or ComfyUI (MXFP8)" : nil
    case .f4: return "a library for FP4"
    default: return nil
    }
  }

  /// The error about a checkpoint that is not supported.
  static func error(_ path: String, _ library: String, _ evidence: String) -> ModelFileError {
    ModelFileError(
      path: path, kind: .unsupported,
      fault: "is quantized by \(library), as \(evidence) shows, which is not supported: take "
        + "the fp16, bf16 or fp8 version of the model, or a GGUF")
  }
}
