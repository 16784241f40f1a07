import KernelInterface

/// See `KernelSet.runPeakLoop`: eight chains of vector multiplications and additions.
func runPeakLoop(_ instruction: PeakInstruction, _ count: Int) -> Double {
  switch instruction {
  case .float: run(count, lanes: 8) { (x: SIMD8<Float>) in x * 0.5 + 0.5 }
  case .int8: run(count, lanes: 16) { (x: SIMD16<Int16>) in x &* x &+ x }
  case .int16: run(count, lanes: 8) { (x: SIMD8<Int32>) in x &* x &+ x }
  }
}

@inline(__always)
private func run<Vector: SIMD>(_ count: Int, lanes: Double, _ step: (Vector) -> Vector) -> Double
where Vector.Scalar: ExpressibleByIntegerLiteral {
  var (a, b, c, d) = (Vector(), Vector(repeating: 1), Vector(repeating: 2), Vector(repeating: 3))
  var (e, f, g, h) = (a, b, c, d)
  for _ in 0..<count {
    (a, b, c, d) = (step(a), step(b), step(c), step(d))
    (e, f, g, h) = (step(e), step(f), step(g), step(h))
  }
  // The result must depend on all chains, or the compiler would drop them.
  let equal = [a == b, c == d, e == f, g == h].allSatisfy { $0 }
  return 8 * Double(count) * 2 * lanes + (equal ? 1 : 0)
}
