import CIntrinsics
import KernelInterface

/// See `KernelSet.runPeakLoop`: eight chains of `vfmadd` or of integer products.
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
    return runChains(count, operations: 64) { Bytes.peakStep($0, codes) }
  case .int16:
    return runChains(count, operations: 32) { Words.peakStep($0, codes) }
  }
}
