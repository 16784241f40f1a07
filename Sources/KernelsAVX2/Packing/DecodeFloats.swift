import BlockFormats
import CIntrinsics

/// See `KernelSet.decode`.
func decode(
  _ type: ElementType, _ source: UnsafeRawPointer, _ count: Int,
  _ values: UnsafeMutablePointer<Float>
) {
  switch type {
  case .f16: decodeFloat16(source, count, values)
  case .bf16: decodeBFloat16(source, count, values)
  default: preconditionFailure("neither F16 nor BF16")
  }
}

private func decodeFloat16(
  _ source: UnsafeRawPointer, _ count: Int, _ values: UnsafeMutablePointer<Float>
) {
  let result = UnsafeMutableRawPointer(values)
  var index = 0
  while index &+ 8 <= count {
    let bits = source.loadUnaligned(fromByteOffset: 2 &* index, as: SIMD2<Int64>.self)
    result.storeBytes(of: _mm256_cvtph_ps(bits), toByteOffset: 4 &* index, as: SIMD8<Float>.self)
    index &+= 8
  }
  while index < count {
    values[index] = source.half(2 &* index)
    index &+= 1
  }
}

private func decodeBFloat16(
  _ source: UnsafeRawPointer, _ count: Int, _ values: UnsafeMutablePointer<Float>
) {
  let result = UnsafeMutableRawPointer(values)
  var index = 0
  while index &+ 8 <= count {
    let bits = source.loadUnaligned(fromByteOffset: 2 &* index, as: SIMD2<Int64>.self)
    let wide = _mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)
    result.storeBytes(of: wide, toByteOffset: 4 &* index, as: SIMD4<Int64>.self)
    index &+= 8
  }
  while index < count {
    let bits = source.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self)
    values[index] = Float(bitPattern: UInt32(UInt16(littleEndian: bits)) &<< 16)
    index &+= 1
  }
}
