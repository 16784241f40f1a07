import CIntrinsics
import KernelInterface

/// See `KernelSet.runPeakLoop`: eight chains of `vfmadd`, `vpmaddubsw` or `vpmaddwd`.
func runPeakLoop(_ instruction: PeakInstruction, _ count: Int) -> Double {
  switch instruction {
  case .float:
    let factor = _mm256_set1_ps(0.5)
    return run(count, operations: 16) { x in
      unsafeBitCast(
        _mm256_fmadd_ps(unsafeBitCast(x, to: SIMD8<Float>.self), factor, factor),
        to: SIMD4<Int64>.self)
    }
  case .int8: return run(count, operations: 64) { _mm256_maddubs_epi16($0, $0) }
  case .int16: return run(count, operations: 32) { _mm256_madd_epi16($0, $0) }
  }
}

@inline(__always)
private func run(
  _ count: Int, operations: Double, _ step: (SIMD4<Int64>) -> SIMD4<Int64>
) -> Double {
  var (a, b, c, d) = (chain(1), chain(2), chain(3), chain(4))
  var (e, f, g, h) = (chain(5), chain(6), chain(7), chain(8))
  for _ in 0..<count {
    (a, b, c, d) = (step(a), step(b), step(c), step(d))
    (e, f, g, h) = (step(e), step(f), step(g), step(h))
  }
  // The result must depend on all chains, or the compiler would drop them.
  let sum = ((a &+ b) &+ (c &+ d)) &+ ((e &+ f) &+ (g &+ h))
  return 8 * Double(count) * operations + (sum[0] == 42 ? 1 : 0)
}

@inline(__always)
private func chain(_ seed: Int64) -> SIMD4<Int64> {
  SIMD4(repeating: seed &* 0x0101_0101_0101_0101)
}
