/// Runs eight independent chains of an instruction, which hides its latency.
///
/// - Parameters:
///   - count: steps of each chain.
///   - operations: multiplications and additions of one instruction.
///   - step: the instruction.
/// - Returns: operations done.
@inline(__always)
func runChains<Value: SIMD>(
  _ count: Int, operations: Double, _ step: (Value) -> Value
) -> Double where Value.Scalar == Int64 {
  var (a, b, c, d): (Value, Value, Value, Value) = (chain(1), chain(2), chain(3), chain(4))
  var (e, f, g, h): (Value, Value, Value, Value) = (chain(5), chain(6), chain(7), chain(8))
  for _ in 0..<count {
    (a, b, c, d) = (step(a), step(b), step(c), step(d))
    (e, f, g, h) = (step(e), step(f), step(g), step(h))
  }
  // The result must depend on all chains, or the compiler would drop them.
  let sum = ((a &+ b) &+ (c &+ d)) &+ ((e &+ f) &+ (g &+ h))
  return 8 * Double(count) * operations + (sum[0] == 42 ? 1 : 0)
}

/// A start that differs from chain to chain.
@inline(__always)
func chain<Value: SIMD>(_ seed: Int64) -> Value where Value.Scalar == Int64 {
  Value(repeating: seed &* 0x0101_0101_0101_0101)
}
