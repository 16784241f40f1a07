import CIntrinsics
import KernelInterface

/// See `KernelSet.runPeakLoop`: eight chains of `vfmadd`, `vpmaddubsw` or `vpmaddwd`.
func runPeakLoop(_ instruction: PeakInstruction, _ count: Int) -> Double {
  switch instruction {
  case .float:
    let factor = _mm256_set1_ps(0.5)
    return runChains(count, operations: 16) { (x: SIMD4<Int64>) in
      unsafeBitCast(
        _mm256_fmadd_ps(unsafeBitCast(x, to: SIMD8<Float>.self), factor, factor),
        to: SIMD4<Int64>.self)
    }
  case .int8:
    return runChains(count, operations: 64) { (x: SIMD4<Int64>) in _mm256_maddubs_epi16(x, x) }
  case .int16:
    return runChains(count, operations: 32) { (x: SIMD4<Int64>) in _mm256_madd_epi16(x, x) }
  }
}
