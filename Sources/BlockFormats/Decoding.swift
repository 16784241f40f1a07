/// The byte layout of one quantized block and how its elements are recovered.
///
/// Every conformer states its layout, follows ggml's `dequantize_row_*` (commit d99724f2) and is
/// bit-exact with gguf-py's `quants.dequantize`: products and sums are rounded one by one, in the
/// same order.
protocol BlockFormat {
  static var elementsPerBlock: Int { get }
  static var bytesPerBlock: Int { get }

  /// Decodes one block.
  ///
  /// - Parameters:
  ///   - block: `bytesPerBlock` readable bytes, of any alignment.
  ///   - values: room for `elementsPerBlock` floats.
  static func decode(_ block: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>)
}

extension ElementType {
  /// Whether `decode` knows the type's values.
  ///
  /// Types without a decoder can be listed and copied, not computed with.
  package var isDecodable: Bool {
    switch self {
    case .f32, .f16, .bf16, .f64, .i8, .i16, .i32, .i64, .f8_e4m3, .f8_e5m2,
      .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_nl, .iq4_xs:
      true
    default: false
    }
  }

  /// Whether the type holds real numbers that a network's weights may be stored in.
  package var isWeightType: Bool {
    switch self {
    case .i8, .i16, .i32, .i64: false
    default: isDecodable
    }
  }

  /// Decodes consecutive elements to float32.
  ///
  /// - Parameters:
  ///   - source: the first block; `byteCount(elements: count)` readable bytes, of any alignment.
  ///   - count: elements, a whole number of blocks.
  ///   - values: room for `count` floats.
  /// - Precondition: `isDecodable`, and `count` is a multiple of `elementsPerBlock`.
  package func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>
  ) {
    precondition(isDecodable && count % elementsPerBlock == 0)
    switch self {
    case .f32: UnsafeMutableRawPointer(values).copyMemory(from: source, byteCount: count * 4)
    case .f16: Float16Bits.decode(source, count: count, into: values)
    case .bf16: BFloat16Bits.decode(source, count: count, into: values)
    case .f64: decodeNumbers(source, as: Double.self, count, values) { Float($0) }
    case .i8: decodeNumbers(source, as: Int8.self, count, values) { Float($0) }
    case .i16: decodeNumbers(source, as: Int16.self, count, values) { Float($0) }
    case .i32: decodeNumbers(source, as: Int32.self, count, values) { Float($0) }
    case .i64: decodeNumbers(source, as: Int64.self, count, values) { Float($0) }
    case .f8_e4m3: Float8.decode(source, count: count, table: Float8.e4m3Values, into: values)
    case .f8_e5m2: Float8.decode(source, count: count, table: Float8.e5m2Values, into: values)
    case .q4_0: decodeBlocks(source, as: Q4_0.self, count, values)
    case .q4_1: decodeBlocks(source, as: Q4_1.self, count, values)
    case .q5_0: decodeBlocks(source, as: Q5_0.self, count, values)
    case .q5_1: decodeBlocks(source, as: Q5_1.self, count, values)
    case .q8_0: decodeBlocks(source, as: Q8_0.self, count, values)
    case .q2_K: decodeBlocks(source, as: Q2_K.self, count, values)
    case .q3_K: decodeBlocks(source, as: Q3_K.self, count, values)
    case .q4_K: decodeBlocks(source, as: Q4_K.self, count, values)
    case .q5_K: decodeBlocks(source, as: Q5_K.self, count, values)
    case .q6_K: decodeBlocks(source, as: Q6_K.self, count, values)
    case .iq4_nl: decodeBlocks(source, as: IQ4_NL.self, count, values)
    case .iq4_xs: decodeBlocks(source, as: IQ4_XS.self, count, values)
    default: preconditionFailure("\(name) has no decoder")
    }
  }
}

@inline(__always)
private func decodeNumbers<Number>(
  _ source: UnsafeRawPointer, as type: Number.Type, _ count: Int,
  _ values: UnsafeMutablePointer<Float>, _ convert: (Number) -> Float
) where Number: BitwiseCopyable {
  for index in 0..<count {
    values[index] = convert(
      source.loadUnaligned(fromByteOffset: index &* MemoryLayout<Number>.size, as: type))
  }
}

@inline(__always)
private func decodeBlocks<Format: BlockFormat>(
  _ source: UnsafeRawPointer, as format: Format.Type, _ count: Int,
  _ values: UnsafeMutablePointer<Float>
) {
  for block in 0..<count / Format.elementsPerBlock {
    Format.decode(
      source + block &* Format.bytesPerBlock, into: values + block &* Format.elementsPerBlock)
  }
}

extension UnsafeRawPointer {
  /// The byte at an offset.
  @inline(__always)
  func byte(_ offset: Int) -> UInt8 { load(fromByteOffset: offset, as: UInt8.self) }

  /// The little-endian float16 at an offset, as float32.
  @inline(__always)
  func half(_ offset: Int) -> Float {
    Float16Bits.float(
      UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
  }
}
