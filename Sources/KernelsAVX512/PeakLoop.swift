import CIntrinsics
import KernelInterface

/// See `KernelSet.runPeakLoop`: eight chains of `vfmadd`, `vpdpbusd` or `vpdpwssd`.
func runPeakLoop(_ instruction: PeakInstruction, _ count: Int) -> Double {
  let codes: Integers = chain(3)
  switch instruction {
  case .float:
    let factor = _mm512_set1_ps(0.5)
    return runChains(count, operations: 32) { (x: Integers) in
      unsafeBitCast(
        _mm512_fmadd_ps(unsafeBitCast(x, to: SIMD16<Float>.self), factor, factor),
        to: Integers.self)
    }
  case .int8: return runChains(count, operations: 128) { _mm512_dpbusd_epi32($0, codes, codes) }
  case .int16: return runChains(count, operations: 64) { _mm512_dpwssd_epi32($0, codes, codes) }
  }
}
