import CIntrinsics
import KernelInterface

/// See `KernelSet.runPeakLoop`: eight chains of `vfmadd`, `vpdpbusd` or `vpdpwssd`.
func runPeakLoop(_ instruction: PeakInstruction, _ count: Int) -> Double {
  let codes = chain(3)
  switch instruction {
  case .float:
    let factor = _mm512_set1_ps(0.5)
    return run(count, operations: 32) { x in
      unsafeBitCast(
        _mm512_fmadd_ps(unsafeBitCast(x, to: SIMD16<Float>.self), factor, factor),
        to: Integers.self)
    }
  case .int8: return run(count, operations: 128) { _mm512_dpbusd_epi32($0, codes, codes) }
  case .int16: return run(count, operations: 64) { _mm512_dpwssd_epi32($0, codes, codes) }
  }
}

@inline(__always)
private func run(_ count: Int, operations: Double, _ step: (Integers) -> Integers) -> Double {
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
private func chain(_ seed: Int64) -> Integers { Integers(repeating: seed &* 0x0101_0101_0101_0101) }
