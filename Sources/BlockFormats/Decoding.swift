extension ElementType {
  /// Whether `decode` knows the type's values.
  ///
  /// Types without a decoder can be listed and copied, not computed with.
  package var isDecodable: Bool {
    switch self {
    case .f32, .f16, .bf16, .f64, .i8, .i16, .i32, .i64, .f8_e4m3, .f8_e5m2,
      .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_nl, .iq4_xs,
      .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s, .tq1_0, .tq2_0, .q1_0, .q2_0,
      .mxfp4, .nvfp4:
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
    case .iq1_s: decodeBlocks(source, as: IQ1_S.self, count, values)
    case .iq1_m: decodeBlocks(source, as: IQ1_M.self, count, values)
    case .iq2_xxs: decodeBlocks(source, as: IQ2_XXS.self, count, values)
    case .iq2_xs: decodeBlocks(source, as: IQ2_XS.self, count, values)
    case .iq2_s: decodeBlocks(source, as: IQ2_S.self, count, values)
    case .iq3_xxs: decodeBlocks(source, as: IQ3_XXS.self, count, values)
    case .iq3_s: decodeBlocks(source, as: IQ3_S.self, count, values)
    case .tq1_0: decodeBlocks(source, as: TQ1_0.self, count, values)
    case .tq2_0: decodeBlocks(source, as: TQ2_0.self, count, values)
    case .q1_0: decodeBlocks(source, as: Q1_0.self, count, values)
    case .q2_0: decodeBlocks(source, as: Q2_0.self, count, values)
    case .mxfp4: decodeBlocks(source, as: MXFP4.self, count, values)
    case .nvfp4: decodeBlocks(source, as: NVFP4.self, count, values)
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

/// Decodes block by block, from codes and scales that stay in the nearest cache.
@inline(__always)
private func decodeBlocks<Format: BlockFormat>(
  _ source: UnsafeRawPointer, as format: Format.Type, _ count: Int,
  _ values: UnsafeMutablePointer<Float>
) {
  // One scale and one minimum for each 16 elements are the most that a format has.
  withUnsafeTemporaryAllocation(of: Int8.self, capacity: Format.elementsPerBlock) { codes in
    withUnsafeTemporaryAllocation(of: Float.self, capacity: Format.elementsPerBlock / 8) {
      factors in
      guard let codes = codes.baseAddress, let scales = factors.baseAddress else { return }
      let minimums = scales + Format.elementsPerBlock / 16
      for block in 0..<count / Format.elementsPerBlock {
        Format.unpack(
          source + block &* Format.bytesPerBlock, codes: codes, scales: scales,
          minimums: minimums)
        combine(format, codes, scales, minimums, values + block &* Format.elementsPerBlock)
      }
    }
  }
}

/// The values of one block.
@inline(__always)
private func combine<Format: BlockFormat>(
  _ format: Format.Type, _ codes: UnsafePointer<Int8>, _ scales: UnsafePointer<Float>,
  _ minimums: UnsafePointer<Float>, _ values: UnsafeMutablePointer<Float>
) {
  for group in 0..<Format.elementsPerBlock / Format.groupWidth {
    for part in 0..<Format.groupWidth / 8 {
      let index = group &* Format.groupWidth &+ 8 &* part
      let bytes = UnsafeRawPointer(codes).loadUnaligned(fromByteOffset: index, as: UInt64.self)
      var eight = floats(numbers(signed: bytes)) * scales[group]
      // Adding a zero minimum would turn -0 into +0.
      if Format.hasMinimums { eight += SIMD8(repeating: minimums[group]) }
      UnsafeMutableRawPointer(values + index).storeBytes(of: eight, as: SIMD8<Float>.self)
    }
  }
}
