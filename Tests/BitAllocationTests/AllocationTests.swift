import BitAllocation
import BlockFormats
import TestSupport
import Testing

@Suite("Choosing types for a size")
struct AllocationTests {
  /// Choices of random sizes and errors; larger ones are mostly, but not always, better.
  private func matrices(_ seed: UInt64, count: Int) -> [[Choice]] {
    var random = SplitMix(state: seed)
    return (0..<count).map { _ in
      let scale = Double(1 + random.below(1000))
      return (1...4).map { step in
        Choice(
          type: .q4_K, bytes: 10 * step + random.below(10),
          error: scale * Double(1 + random.below(100)) / Double(step * step))
      }
    }
  }

  /// The least error of any choice that fits, by trying all.
  private func optimum(_ matrices: [[Choice]], _ budget: Int) -> Double? {
    func best(_ index: Int, _ budget: Int) -> Double? {
      guard index < matrices.count else { return budget >= 0 ? 0 : nil }
      return matrices[index].compactMap { choice in
        best(index + 1, budget - choice.bytes).map { $0 + choice.error }
      }.min()
    }
    return best(0, budget)
  }

  @Test("the bound is below the optimum, the choice above it and near", arguments: 0..<40)
  func bounds(_ seed: Int) throws {
    let matrices = self.matrices(UInt64(seed), count: 6)
    let least = matrices.reduce(0) { $0 + ($1.map(\.bytes).min() ?? 0) }
    let most = matrices.reduce(0) { $0 + ($1.map(\.bytes).max() ?? 0) }
    for budget in stride(from: least, through: most + 10, by: 7) {
      let optimum = try #require(self.optimum(matrices, budget))
      let found = try #require(Allocation(matrices, budget: budget))
      #expect(found.bytes <= budget)
      #expect(found.leastError <= optimum * (1 + 1e-12) && optimum <= found.error * (1 + 1e-12))
      let chosen = zip(matrices, found.choices).map { $0[$1] }
      #expect(chosen.reduce(0) { $0 + $1.bytes } == found.bytes)
      // What is lost is at most the one step that did not fit.
      let largestStep = matrices.map { ($0.map(\.error).max() ?? 0) }.max() ?? 0
      #expect(found.error - found.leastError <= largestStep)
    }
    #expect(Allocation(matrices, budget: least - 1) == nil)
  }

  @Test("with room for everything each matrix gets its best")
  func everything() throws {
    let matrices = self.matrices(7, count: 20)
    let found = try #require(Allocation(matrices, budget: .max))
    let best = matrices.reduce(0) { $0 + ($1.map(\.error).min() ?? 0) }
    #expect(abs(found.error - best) <= 1e-12 * best && found.leastError == found.error)
  }

  @Test("a matrix that matters more gets more bits")
  func importance() throws {
    let choices = { (factor: Double) in
      [
        Choice(type: .q2_K, bytes: 100, error: 8 * factor),
        Choice(type: .q4_K, bytes: 200, error: 1 * factor),
      ]
    }
    let found = try #require(Allocation([choices(1), choices(10), choices(2)], budget: 400))
    #expect(found.choices == [0, 1, 0])
  }
}

/// A small random generator, the same on every machine.
private struct SplitMix {
  var state: UInt64

  mutating func below(_ count: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return Int((mixed ^ (mixed >> 31)) % UInt64(count))
  }
}
