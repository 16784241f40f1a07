/// How the elements of a stored tensor are encoded: plain numbers or ggml's quantized blocks.
///
/// Every fact about a type stands in one row of `ElementType.table`, or in the block format that
/// the row names; how floats are quantized to a type stands in the folder `Rounding` of the
/// kernels.
public enum ElementType: UInt8, CaseIterable, Sendable {
  case f32, f16, bf16, f64
  case i8, i16, i32, i64, u8, u16, u32, u64, bool, c64
  case f8_e4m3, f8_e5m2, f8_e8m0, f8_e4m3fnuz, f8_e5m2fnuz, f6_e2m3, f6_e3m2, f4
  case q4_0, q4_1, q5_0, q5_1, q8_0, q8_1
  case q2_K, q3_K, q4_K, q5_K, q6_K, q8_K
  case iq2_xxs, iq2_xs, iq3_xxs, iq1_s, iq4_nl, iq3_s, iq2_s, iq4_xs, iq1_m
  case tq1_0, tq2_0, mxfp4, nvfp4, q1_0, q2_0

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

  /// How the type's elements are read; nil where nothing is known but their size.
  var decoder: (any ElementDecoder.Type)? { traits.decoder }

  /// How the type's blocks are unpacked for matmuls with their codes; nil for plain numbers,
  /// formats that are only dequantized, and types without a decoder.
  package var codeLayout: CodeLayout? { traits.codeLayout }

  /// Where the half-precision scales of a block lie, in bytes from its start; empty for plain
  /// numbers, types that this program cannot decode, and those whose scales are not such numbers or
  /// lie in pieces.
  package var scaleOffsets: [Int] { traits.scaleOffsets }

  /// Bytes of a row of `count` elements; nil if the row is not whole blocks or the
  /// product overflows.
  package func byteCount(elements count: Int) -> Int? {
    guard count >= 0, count % elementsPerBlock == 0 else { return nil }
    let (bytes, overflow) = (count / elementsPerBlock).multipliedReportingOverflow(
      by: bytesPerBlock)
    return overflow ? nil : bytes
  }

  private var traits: Traits { Self.traits[Int(rawValue)] }

  /// Rows by type.
  private static let traits = table.sorted { $0.type.rawValue < $1.type.rawValue }

  private static let typesByGGUFID: [UInt32: ElementType] = table.reduce(into: [:]) { types, row in
    if let id = row.ggufID { types[id] = row.type }
  }

  private static let typesBySafetensorsName: [String: ElementType] = table.reduce(into: [:]) {
    types, row in
    if let name = row.safetensorsName { types[name] = row.type }
  }
}

// MARK: Conversion

extension ElementType {
  /// Types that files can be converted to, from the best to the smallest.
  package static let conversionTargets = table.filter { $0.target != nil }.map(\.type)

  /// Whether files can be converted to the type, so that floats can be quantized to it.
  package var isConversionTarget: Bool { traits.target != nil }

  /// llama.cpp's number of files that are mostly of the type (`enum llama_ftype`), without the
  /// better types that mixes give some tensors; nil unless files can be converted to it.
  package var fileType: UInt32? { traits.target?.fileType }

  /// The next type of the same kind with more bits; itself where there is none.
  package var stepBetter: ElementType { traits.target?.better ?? self }

  /// The next type with fewer bits; itself where there is none.
  package var stepSmaller: ElementType { traits.target?.smaller ?? self }

  /// The type, the next better one, and so on to the best of its kind.
  package var ladder: [ElementType] {
    var ladder = [self]
    while let last = ladder.last, !ladder.contains(last.stepBetter) {
      ladder.append(last.stepBetter)
    }
    return ladder
  }

  /// Relative root mean square error for normally distributed weights; nil where it is not known.
  package var weightError: Double? { traits.target?.error }

  /// Whether files of a wanted size may be made of the type among others.
  package var isSizeCandidate: Bool { traits.target?.isSizeCandidate ?? false }
}

// MARK: Table

extension ElementType {
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
    let decoder: (any ElementDecoder.Type)?
    let codeLayout: CodeLayout?
    let scaleOffsets: [Int]
    let target: Target?

    /// Plain numbers, and blocks of which nothing is known but their size.
    init(
      _ type: ElementType, _ name: String, gguf ggufID: UInt32? = nil,
      safetensors safetensorsName: String? = nil, _ elementsPerBlock: Int, _ bytesPerBlock: Int,
      _ decoder: (any ElementDecoder.Type)? = nil, _ target: Target? = nil
    ) {
      self.type = type
      self.name = name
      self.ggufID = ggufID
      self.safetensorsName = safetensorsName
      self.elementsPerBlock = elementsPerBlock
      self.bytesPerBlock = bytesPerBlock
      self.decoder = decoder
      codeLayout = nil
      scaleOffsets = []
      self.target = target
    }

    /// ggml's blocks.
    init(
      _ type: ElementType, _ name: String, _ format: any BlockFormat.Type,
      _ target: Target? = nil
    ) {
      self.type = type
      self.name = name
      ggufID = format.ggmlType
      safetensorsName = nil
      elementsPerBlock = format.elementsPerBlock
      bytesPerBlock = format.bytesPerBlock
      decoder = format
      codeLayout = codedFormat(ggmlType: format.ggmlType).map { CodeLayout($0) }
      let offset = format.scaleOffset
      scaleOffsets = offset.map { format.hasMinimums ? [$0, $0 + 2] : [$0] } ?? []
      self.target = target
    }
  }

  /// What is known of a type that files can be converted to.
  struct Target: Sendable {
    let fileType: UInt32
    let smaller, better: ElementType?
    let error: Double?
    let isSizeCandidate: Bool

    /// See the properties of `ElementType`.
    static func target(
      _ fileType: UInt32, smaller: ElementType? = nil, better: ElementType? = nil,
      error: Double? = nil, isSizeCandidate: Bool = false
    ) -> Target {
      Target(
        fileType: fileType, smaller: smaller, better: better, error: error,
        isSizeCandidate: isSizeCandidate)
    }
  }

  /// Facts of every type. What files can be converted to stands first, from the best to the
  /// smallest.
  ///
  /// Sources: ggml `ggml.h` (`enum ggml_type`) and `ggml-common.h` (block sizes), commit d99724f2;
  /// llama.cpp `llama.h` (`enum llama_ftype`); safetensors `tensor.rs` (`enum Dtype`). Errors of
  /// Q4_1, Q5_0, Q5_1 are gguf-py 0.19's, those of IQ4_NL and IQ4_XS come from a search over 41
  /// scales, the others are what ggml's quantizers (commit d99724f2) leave.
  static let table: [Traits] = [
    Traits(.f32, "F32", gguf: 0, safetensors: "F32", 1, 4, Float32Bits.self, .target(0)),
    Traits(.bf16, "BF16", gguf: 30, safetensors: "BF16", 1, 2, BFloat16Bits.self, .target(32)),
    Traits(
      .f16, "F16", gguf: 1, safetensors: "F16", 1, 2, Float16Bits.self,
      .target(1, isSizeCandidate: true)),
    Traits(
      .q8_0, "Q8_0", Q8_0.self,
      .target(7, smaller: .q6_K, error: 0.0054, isSizeCandidate: true)),
    Traits(
      .q6_K, "Q6_K", Q6_K.self,
      .target(18, smaller: .q5_K, better: .q8_0, error: 0.018, isSizeCandidate: true)),
    Traits(
      .q5_K, "Q5_K", Q5_K.self,
      .target(16, smaller: .q4_K, better: .q6_K, error: 0.035, isSizeCandidate: true)),
    Traits(
      .q5_1, "Q5_1", Q5_1.self,
      .target(9, smaller: .q4_1, better: .q8_0, error: 0.0379, isSizeCandidate: true)),
    Traits(
      .q5_0, "Q5_0", Q5_0.self,
      .target(8, smaller: .q4_0, better: .q8_0, error: 0.0427, isSizeCandidate: true)),
    Traits(
      .q4_K, "Q4_K", Q4_K.self,
      .target(14, smaller: .q3_K, better: .q5_K, error: 0.061, isSizeCandidate: true)),
    Traits(
      .q4_1, "Q4_1", Q4_1.self, .target(3, smaller: .q3_K, better: .q5_1, error: 0.078)),
    Traits(
      .q4_0, "Q4_0", Q4_0.self,
      .target(2, smaller: .q3_K, better: .q5_0, error: 0.081, isSizeCandidate: true)),
    Traits(
      .iq4_nl, "IQ4_NL", IQ4_NL.self, .target(25, smaller: .q3_K, better: .q5_0, error: 0.074)),
    Traits(
      .iq4_xs, "IQ4_XS", IQ4_XS.self,
      .target(30, smaller: .q3_K, better: .q5_K, error: 0.074, isSizeCandidate: true)),
    Traits(
      .q3_K, "Q3_K", Q3_K.self,
      .target(11, smaller: .q2_K, better: .q4_K, error: 0.144, isSizeCandidate: true)),
    Traits(
      .q2_K, "Q2_K", Q2_K.self, .target(10, better: .q3_K, error: 0.285, isSizeCandidate: true)),

    Traits(.f64, "F64", gguf: 28, safetensors: "F64", 1, 8, Float64Bits.self),
    Traits(.i8, "I8", gguf: 24, safetensors: "I8", 1, 1, Integers<Int8>.self),
    Traits(.i16, "I16", gguf: 25, safetensors: "I16", 1, 2, Integers<Int16>.self),
    Traits(.i32, "I32", gguf: 26, safetensors: "I32", 1, 4, Integers<Int32>.self),
    Traits(.i64, "I64", gguf: 27, safetensors: "I64", 1, 8, Integers<Int64>.self),
    Traits(.u8, "U8", safetensors: "U8", 1, 1),
    Traits(.u16, "U16", safetensors: "U16", 1, 2),
    Traits(.u32, "U32", safetensors: "U32", 1, 4),
    Traits(.u64, "U64", safetensors: "U64", 1, 8),
    Traits(.bool, "BOOL", safetensors: "BOOL", 1, 1),
    Traits(.c64, "C64", safetensors: "C64", 1, 8),
    Traits(.f8_e4m3, "F8_E4M3", safetensors: "F8_E4M3", 1, 1, Float8E4M3.self),
    Traits(.f8_e5m2, "F8_E5M2", safetensors: "F8_E5M2", 1, 1, Float8E5M2.self),
    Traits(.f8_e8m0, "F8_E8M0", safetensors: "F8_E8M0", 1, 1),
    Traits(.f8_e4m3fnuz, "F8_E4M3FNUZ", safetensors: "F8_E4M3FNUZ", 1, 1),
    Traits(.f8_e5m2fnuz, "F8_E5M2FNUZ", safetensors: "F8_E5M2FNUZ", 1, 1),
    Traits(.f6_e2m3, "F6_E2M3", safetensors: "F6_E2M3", 4, 3),
    Traits(.f6_e3m2, "F6_E3M2", safetensors: "F6_E3M2", 4, 3),
    Traits(.f4, "F4", safetensors: "F4", 2, 1),
    Traits(.q8_1, "Q8_1", gguf: 9, 32, 36),
    Traits(.q8_K, "Q8_K", gguf: 15, 256, 292),
    Traits(.iq2_xxs, "IQ2_XXS", IQ2_XXS.self),
    Traits(.iq2_xs, "IQ2_XS", IQ2_XS.self),
    Traits(.iq3_xxs, "IQ3_XXS", IQ3_XXS.self),
    Traits(.iq1_s, "IQ1_S", IQ1_S.self),
    Traits(.iq3_s, "IQ3_S", IQ3_S.self),
    Traits(.iq2_s, "IQ2_S", IQ2_S.self),
    Traits(.iq1_m, "IQ1_M", IQ1_M.self),
    Traits(.tq1_0, "TQ1_0", TQ1_0.self),
    Traits(.tq2_0, "TQ2_0", TQ2_0.self),
    Traits(.mxfp4, "MXFP4", MXFP4.self),
    Traits(.nvfp4, "NVFP4", NVFP4.self),
    Traits(.q1_0, "Q1_0", Q1_0.self),
    Traits(.q2_0, "Q2_0", Q2_0.self),
  ]

  /// Numbers that `ggml.h` keeps free, because files with these types exist.
  private static let removedNames: [UInt32: String] = [
    4: "Q4_2", 5: "Q4_3", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
  ]
}
