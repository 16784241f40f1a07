/// A cheap stream of random bits (splitmix64) that can begin anywhere: streams for the rows of a
/// tensor do not depend on each other, so rows can be made in any order on any thread.
struct RandomNumbers {
  private var state: UInt64

  /// - Parameter seed: streams of different seeds are unrelated.
  init(seed: UInt64) { state = seed }

  /// 64 random bits.
  @inline(__always)
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Self.mixed(state)
  }

  /// A seed for one tensor of a model.
  ///
  /// - Parameters:
  ///   - seed: the model's seed.
  ///   - name: the tensor's name, whose FNV-1a hash takes part.
  /// - Returns: a seed.
  static func seed(_ seed: UInt64, name: String) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in name.utf8 {
      hash ^= UInt64(byte)
      hash &*= 0x100_0000_01B3
    }
    return mixed(hash ^ mixed(seed &+ 0x9E37_79B9_7F4A_7C15))
  }

  /// A seed for one row of a tensor.
  static func seed(_ seed: UInt64, row: Int) -> UInt64 {
    // Rows must not be the same stream a few steps later, hence the mixing.
    mixed(seed ^ mixed(UInt64(truncatingIfNeeded: row) &+ 0xD1B5_4A32_D192_ED03))
  }

  @inline(__always)
  private static func mixed(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
