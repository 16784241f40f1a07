import Comparison
import Testing

@Suite("Measures over all cells")
struct LevelSummaryTests {
  @Test("the median is the middle, the worst depends on what is better")
  func spread() throws {
    let high = try #require(Spread([3, 1, 2], isBetterHigh: true))
    #expect(high.median == 2 && high.worst == 1)
    let low = try #require(Spread([4, 1, 3, 2], isBetterHigh: false))
    #expect(low.median == 2.5 && low.worst == 4)
    #expect(Spread([], isBetterHigh: true) == nil)
  }

  @Test("pictures that are the same have no finite ratio, and count")
  func infinite() throws {
    let same = try #require(Spread([.infinity, .infinity], isBetterHigh: true))
    #expect(same.median == .infinity && same.worst == .infinity)
    let some = try #require(Spread([.infinity, 40, 50], isBetterHigh: true))
    #expect(some.median == 50 && some.worst == 40)
  }
}
