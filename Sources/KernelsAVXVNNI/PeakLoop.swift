import CIntrinsics
import KernelInterface
import KernelsAVX2

/// See `KernelSet.runPeakLoop`: eight chains of `vfmadd`, `vpdpbusd` or `vpdpwssd`.
func runPeakLoop(_ instruction: PeakInstruction, _ count: Int) -> Double {
  let codes: SIMD4<Int64> = chain(3)
  switch instruction {
  case .float: return kernelSetAVX2.runPeakLoop(.float, count)
  case .int8:
    return runChains(count, operations: 64) { _mm256_dpbusd_avx_epi32($0, codes, codes) }
  case .int16:
    return runChains(count, operations: 32) { _mm256_dpwssd_avx_epi32($0, codes, codes) }
  }
}
