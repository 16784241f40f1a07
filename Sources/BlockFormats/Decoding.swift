/// How the elements of one type are read: by plain numbers and by every block format.
protocol ElementDecoder: SendableMetatype {
  /// Whether elements are real numbers, which a network's weights may be stored in.
  static var holdsWeights: Bool { get }

  /// Decodes consecutive elements to float32, see `ElementType.decode`.
  static func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>)

  /// Whether blocks hold a NaN or an infinity, see `ElementType.hasNonFinite`.
  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool
}

/// What this target does with a block format.
typealias FormatOperations = ElementDecoder

extension ElementDecoder {
  static var holdsWeights: Bool { true }
}

extension ElementType {
  /// Whether `decode` knows the type's values.
  ///
  /// Types without a decoder can be listed and copied, not computed with.
  package var isDecodable: Bool { decoder != nil }

  /// Whether the type holds real numbers that a network's weights may be stored in.
  package var isWeightType: Bool { decoder?.holdsWeights ?? false }

  /// Decodes consecutive elements to float32.
  ///
  /// - Parameters:
  ///   - source: the first block; `byteCount(elements: count)` readable bytes, of any alignment.
  ///   - count: elements, whole blocks.
  ///   - values: room for `count` floats.
  /// - Precondition: `isDecodable`, and `count` is a multiple of `elementsPerBlock`.
  package func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>
  ) {
    guard let decoder else { preconditionFailure("\(name) has no decoder") }
    precondition(count % elementsPerBlock == 0)
    decoder.decode(source, count: count, into: values)
  }
}

extension BlockFormat {
  /// Dequantizes block by block, from codes and scales that stay in the nearest cache.
  static func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>
  ) {
    // One scale and one minimum for each 16 elements are the most that a format has.
    withUnsafeTemporaryAllocation(of: Int8.self, capacity: elementsPerBlock) { codes in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: elementsPerBlock / 8) { factors in
        guard let codes = codes.baseAddress, let scales = factors.baseAddress else { return }
        let minimums = scales + elementsPerBlock / 16
        for block in 0..<count / elementsPerBlock {
          unpack(source + block &* bytesPerBlock, codes: codes, scales: scales, minimums: minimums)
          combine(codes, scales, minimums, values + block &* elementsPerBlock)
        }
      }
    }
  }

  /// The values of one block.
  @inline(__always)
  private static func combine(
    _ codes: UnsafePointer<Int8>, _ scales: UnsafePointer<Float>,
    _ minimums: UnsafePointer<Float>, _ values: UnsafeMutablePointer<Float>
  ) {
    for group in 0..<elementsPerBlock / groupWidth {
      for part in 0..<groupWidth / 8 {
        let index = group &* groupWidth &+ 8 &* part
        let bytes = UnsafeRawPointer(codes).loadUnaligned(fromByteOffset: index, as: UInt64.self)
        var eight = floats(numbers(signed: bytes)) * scales[group]
        // Adding a zero minimum would turn -0 into +0.
        if hasMinimums { eight += SIMD8(repeating: minimums[group]) }
        UnsafeMutableRawPointer(values + index).storeBytes(of: eight, as: SIMD8<Float>.self)
      }
    }
  }
}
