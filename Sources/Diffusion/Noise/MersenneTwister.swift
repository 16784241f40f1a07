/// The 32-bit Mersenne Twister MT19937, seeded as PyTorch's CPU generator seeds it.
///
/// - SeeAlso: Matsumoto and Nishimura 1998; PyTorch `aten/src/ATen/core/MT19937RNGEngine.h`.
struct MersenneTwister {
  private static let stateCount = 624
  private var state: [UInt32]
  private var next: Int

  /// - Parameter seed: only the low 32 bits count, as in PyTorch.
  init(seed: UInt64) {
    state = [UInt32(truncatingIfNeeded: seed)]
    for index in 1..<Self.stateCount {
      let previous = state[index - 1]
      state.append(1_812_433_253 &* (previous ^ (previous >> 30)) &+ UInt32(index))
    }
    next = Self.stateCount
  }

  mutating func draw() -> UInt32 {
    if next == Self.stateCount { regenerate() }
    var y = state[next]
    next += 1
    y ^= y >> 11
    y ^= (y << 7) & 0x9D2C_5680
    y ^= (y << 15) & 0xEFC6_0000
    return y ^ (y >> 18)
  }

  private mutating func regenerate() {
    let count = Self.stateCount
    for index in 0..<count {
      let y = (state[index] & 0x8000_0000) | (state[(index + 1) % count] & 0x7FFF_FFFF)
      state[index] = state[(index + 397) % count] ^ (y >> 1) ^ (y & 1 == 0 ? 0 : 0x9908_B0DF)
    }
    next = 0
  }
}
