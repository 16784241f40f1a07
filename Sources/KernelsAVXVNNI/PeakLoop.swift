import CIntrinsics
import KernelInterface

/// See `KernelSet.runPeakLoop`: eight chains of `vfmadd`, `vpdpbusd` or `vpdpwssd`.
func runPeakLoop(_ instruction: PeakInstruction, _ count: Int) -> Double {
  let codes: SIMD4<Int64> = chain(3)
  switch instruction {
  case .float:
    let factor = _mm256_set1_ps(0.5)
    return runChains(count, operations: 16) { (x: SIMD4<Int64>) in
      unsafeBitCast(
        _mm256_fmadd_ps(unsafeBitCast(x, to: SIMD8<Float>.self), factor, factor),
        to: SIMD4<Int64>.self)
    }
  case .int8:
    return runChains(count, operations: 64) { _mm256_dpbusd_avx_epi32($0, codes, codes) }
  case .int16:
    return runChains(count, operations: 32) { _mm256_dpwssd_avx_epi32($0, codes, codes) }
  }
}
