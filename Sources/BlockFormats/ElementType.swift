/// How the elements of a stored tensor are encoded: plain numbers or ggml's quantized blocks.
///
/// Every fact about a type (its name in each file format, its block size) stands in one row of
/// `ElementType.table`; how a block is decoded stands in the file named after the format.
public enum ElementType: UInt8, CaseIterable, Sendable {
  case f32, f16, bf16, f64
  case i8, i16, i32, i64, u8, u16, u32, u64, bool, c64
  case f8_e4m3, f8_e5m2, f8_e8m0, f8_e4m3fnuz, f8_e5m2fnuz, f6_e2m3, f6_e3m2, f4
  case q4_0, q4_1, q5_0, q5_1, q8_0, q8_1
  case q2_K, q3_K, q4_K, q5_K, q6_K, q8_K
  case iq2_xxs, iq2_xs, iq3_xxs, iq1_s, iq4_nl, iq3_s, iq2_s, iq4_xs, iq1_m
  case tq1_0, tq2_0, mxfp4, nvfp4, q1_0, q2_0

  /// One row of the table of types.
  struct Traits: Sendable {
    let type: ElementType
    /// The usual spelling, as printed.
    let name: String
    /// `ggml_type` number in GGUF files; nil where ggml has no such type.
    let ggufID: UInt32?
    /// `dtype` in safetensors files; nil where safetensors has no such type.
    let safetensorsName: String?
    let elementsPerBlock: Int
    let bytesPerBlock: Int

    init(
      _ type: ElementType, _ name: String, gguf ggufID: UInt32? = nil,
      safetensors safetensorsName: String? = nil, _ elementsPerBlock: Int, _ bytesPerBlock: Int
    ) {
      self.type = type
      self.name = name
      self.ggufID = ggufID
      self.safetensorsName = safetensorsName
      self.elementsPerBlock = elementsPerBlock
      self.bytesPerBlock = bytesPerBlock
    }
  }

  /// The name under which the type is printed, e.g. `Q4_K`.
  public var name: String { traits.name }

  /// Elements that share one block; 1 for plain numbers.
  public var elementsPerBlock: Int { traits.elementsPerBlock }

  /// Bytes of one block.
  public var bytesPerBlock: Int { traits.bytesPerBlock }

  /// Whether several elements share scales, so that rows must be whole blocks.
  public var isBlockQuantized: Bool { ggufID != nil && elementsPerBlock > 1 }

  /// The `ggml_type` number, where GGUF files can hold the type.
  package var ggufID: UInt32? { traits.ggufID }

  /// The `dtype` string, where safetensors files can hold the type.
  package var safetensorsName: String? { traits.safetensorsName }

  /// The type with a `ggml_type` number; nil for unknown and removed numbers.
  package init?(ggufID: UInt32) {
    guard let type = Self.typesByGGUFID[ggufID] else { return nil }
    self = type
  }

  /// The types that GGUF files can hold, in the order of their numbers.
  package static let ggufTypes = typesByGGUFID.sorted { $0.key < $1.key }.map(\.value)

  /// The name of a type that ggml had once and has no more.
  package static func removedName(ggufID: UInt32) -> String? { removedNames[ggufID] }

  /// The type with a safetensors `dtype` string.
  package init?(safetensorsName: String) {
    guard let type = Self.typesBySafetensorsName[safetensorsName] else { return nil }
    self = type
  }

  /// Bytes of a row of `count` elements; nil if the row is no whole number of blocks or the
  /// product overflows.
  package func byteCount(elements count: Int) -> Int? {
    guard count >= 0, count % elementsPerBlock == 0 else { return nil }
    let (bytes, overflow) = (count / elementsPerBlock).multipliedReportingOverflow(
      by: bytesPerBlock)
    return overflow ? nil : bytes
  }

  private var traits: Traits { Self.table[Int(rawValue)] }

  private static let typesByGGUFID: [UInt32: ElementType] = table.reduce(into: [:]) { types, row in
    if let id = row.ggufID { types[id] = row.type }
  }

  private static let typesBySafetensorsName: [String: ElementType] = table.reduce(into: [:]) {
    types, row in
    if let name = row.safetensorsName { types[name] = row.type }
  }
}

extension ElementType {
  /// Facts of every type, in the order of the cases.
  ///
  /// Sources: ggml `ggml.h` (`enum ggml_type`) and `ggml-common.h` (block sizes), commit d99724f2;
  /// safetensors `tensor.rs` (`enum Dtype`).
  static let table: [Traits] = [
    Traits(.f32, "F32", gguf: 0, safetensors: "F32", 1, 4),
    Traits(.f16, "F16", gguf: 1, safetensors: "F16", 1, 2),
    Traits(.bf16, "BF16", gguf: 30, safetensors: "BF16", 1, 2),
    Traits(.f64, "F64", gguf: 28, safetensors: "F64", 1, 8),
    Traits(.i8, "I8", gguf: 24, safetensors: "I8", 1, 1),
    Traits(.i16, "I16", gguf: 25, safetensors: "I16", 1, 2),
    Traits(.i32, "I32", gguf: 26, safetensors: "I32", 1, 4),
    Traits(.i64, "I64", gguf: 27, safetensors: "I64", 1, 8),
    Traits(.u8, "U8", safetensors: "U8", 1, 1),
    Traits(.u16, "U16", safetensors: "U16", 1, 2),
    Traits(.u32, "U32", safetensors: "U32", 1, 4),
    Traits(.u64, "U64", safetensors: "U64", 1, 8),
    Traits(.bool, "BOOL", safetensors: "BOOL", 1, 1),
    Traits(.c64, "C64", safetensors: "C64", 1, 8),
    Traits(.f8_e4m3, "F8_E4M3", safetensors: "F8_E4M3", 1, 1),
    Traits(.f8_e5m2, "F8_E5M2", safetensors: "F8_E5M2", 1, 1),
    Traits(.f8_e8m0, "F8_E8M0", safetensors: "F8_E8M0", 1, 1),
    Traits(.f8_e4m3fnuz, "F8_E4M3FNUZ", safetensors: "F8_E4M3FNUZ", 1, 1),
    Traits(.f8_e5m2fnuz, "F8_E5M2FNUZ", safetensors: "F8_E5M2FNUZ", 1, 1),
    Traits(.f6_e2m3, "F6_E2M3", safetensors: "F6_E2M3", 4, 3),
    Traits(.f6_e3m2, "F6_E3M2", safetensors: "F6_E3M2", 4, 3),
    Traits(.f4, "F4", safetensors: "F4", 2, 1),
    Traits(.q4_0, "Q4_0", gguf: 2, 32, 18),
    Traits(.q4_1, "Q4_1", gguf: 3, 32, 20),
    Traits(.q5_0, "Q5_0", gguf: 6, 32, 22),
    Traits(.q5_1, "Q5_1", gguf: 7, 32, 24),
    Traits(.q8_0, "Q8_0", gguf: 8, 32, 34),
    Traits(.q8_1, "Q8_1", gguf: 9, 32, 36),
    Traits(.q2_K, "Q2_K", gguf: 10, 256, 84),
    Traits(.q3_K, "Q3_K", gguf: 11, 256, 110),
    Traits(.q4_K, "Q4_K", gguf: 12, 256, 144),
    Traits(.q5_K, "Q5_K", gguf: 13, 256, 176),
    Traits(.q6_K, "Q6_K", gguf: 14, 256, 210),
    Traits(.q8_K, "Q8_K", gguf: 15, 256, 292),
    Traits(.iq2_xxs, "IQ2_XXS", gguf: 16, 256, 66),
    Traits(.iq2_xs, "IQ2_XS", gguf: 17, 256, 74),
    Traits(.iq3_xxs, "IQ3_XXS", gguf: 18, 256, 98),
    Traits(.iq1_s, "IQ1_S", gguf: 19, 256, 50),
    Traits(.iq4_nl, "IQ4_NL", gguf: 20, 32, 18),
    Traits(.iq3_s, "IQ3_S", gguf: 21, 256, 110),
    Traits(.iq2_s, "IQ2_S", gguf: 22, 256, 82),
    Traits(.iq4_xs, "IQ4_XS", gguf: 23, 256, 136),
    Traits(.iq1_m, "IQ1_M", gguf: 29, 256, 56),
    Traits(.tq1_0, "TQ1_0", gguf: 34, 256, 54),
    Traits(.tq2_0, "TQ2_0", gguf: 35, 256, 66),
    Traits(.mxfp4, "MXFP4", gguf: 39, 32, 17),
    Traits(.nvfp4, "NVFP4", gguf: 40, 64, 36),
    Traits(.q1_0, "Q1_0", gguf: 41, 128, 18),
    Traits(.q2_0, "Q2_0", gguf: 42, 64, 18),
  ]

  /// Numbers that `ggml.h` keeps free, because files with these types exist.
  private static let removedNames: [UInt32: String] = [
    4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
  ]
}
