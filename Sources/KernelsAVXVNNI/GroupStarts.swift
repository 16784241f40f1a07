import CIntrinsics

/// See `IntegerTile.starts`, for each half of 32 codes.
@inline(__always)
func groupStarts(_ codes: SIMD4<Int64>) -> (first: Int32, second: Int32) {
  // Sums of 8 bytes, each made positive by adding 128.
  let positive = _mm256_xor_si256(codes, _mm256_set1_epi8(-128))
  let sums = _mm256_sad_epu8(positive, _mm256_setzero_si256())
  let first = Int32(truncatingIfNeeded: sums[0] &+ sums[1]) &- 2048
  let second = Int32(truncatingIfNeeded: sums[2] &+ sums[3]) &- 2048
  return (-128 &* first, -128 &* second)
}

/// The start of a group from those of its halves.
@inline(__always)
func joinStarts(_ first: Int32, _ second: Int32) -> Int32 { first &+ second }

/// The start of a group as one number.
@inline(__always)
func startTotal(_ start: Int32) -> Int32 { start }
