import Comparison
import Testing

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
