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

@Suite("Names of levels")
struct LevelNamesTests {
  @Test("names are those of files, each once, and fit for folders")
  func names() {
    let names = LevelNames()
    #expect(names.unique(for: "/models/aura-Q4_K.gguf") == "aura-Q4_K")
    #expect(names.unique(for: "other/aura-q4_k.safetensors") == "aura-q4_k-2")
    #expect(names.unique(for: "aura_flow_0.3") == "aura_flow_0.3")
    #expect(names.unique(for: "models/.hidden") == "model.hidden")
    #expect(names.unique(for: "a:b*c?.gguf") == "a_b_c_")
    #expect(names.unique(for: String(repeating: "x", count: 300)).count == 80)
  }
}
