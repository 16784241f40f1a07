import BlockFormats
import CIntrinsics

/// See `KernelSet.decode`.
func decode(
  _ type: ElementType, _ source: UnsafeRawPointer, _ count: Int,
  _ values: UnsafeMutablePointer<Float>
) {
  let result = UnsafeMutableRawPointer(values)
  var index = 0
  while index &+ 8 <= count {
    let bits = source.loadUnaligned(fromByteOffset: 2 &* index, as: SIMD2<Int64>.self)
    let floats: SIMD8<Float>
    if type == .f16 {
      floats = _mm256_cvtph_ps(bits)
    } else {
      let wide = _mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)
      floats = unsafeBitCast(wide, to: SIMD8<Float>.self)
    }
    result.storeBytes(of: floats, toByteOffset: 4 &* index, as: SIMD8<Float>.self)
    index &+= 8
  }
  while index < count {
    let bits = source.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self)
    values[index] =
      type == .f16 ? Float16Bits.float(bits) : Float(bitPattern: UInt32(bits) &<< 16)
    index &+= 1
  }
}
