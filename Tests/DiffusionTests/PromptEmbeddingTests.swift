import Diffusion
import Testing

@Suite("Mixed prompts")
struct PromptEmbeddingTests {
  private func embedding(
    _ states: [Float], padded: Int, pooled: [Float]? = nil
  ) -> PromptEmbedding {
    PromptEmbedding(states: states, width: 2, paddedCount: padded, pooled: pooled)
  }

  @Test("lie between both, row by row, padding being zeros; the ends are exact")
  func blends() {
    let first = embedding([1, 2], padded: 3, pooled: [4])
    let second = embedding([3, -2, 8, 4], padded: 5, pooled: [0])
    let half = first.blended(with: second, share: 0.5)
    #expect(half == embedding([2, 0, 4, 2], padded: 5, pooled: [2]))
    #expect(second.blended(with: first, share: 0.25).states == [2.5, -1, 6, 3])
    #expect(first.blended(with: second, share: 0) == first)
    #expect(first.blended(with: second, share: 1) == second)
    // What is the same in both stays what it is.
    let odd = embedding([0.1, 1e-30], padded: 1)
    for share: Float in [0.1, 0.3, 0.77] { #expect(odd.blended(with: odd, share: share) == odd) }
  }

  @Test("what a family's encoders would not make is told")
  func faults() {
    let masked = EmbeddingLayout(width: 2, padding: .masked)
    let pooled = EmbeddingLayout(width: 2, pooledWidth: 1, padding: .encoded)
    #expect(embedding([1, 2], padded: 3).fault(for: masked) == nil)
    #expect(embedding([1, 2], padded: 1, pooled: [1]).fault(for: pooled) == nil)
    #expect(embedding([], padded: 3).fault(for: masked) != nil)
    #expect(embedding([1, 2], padded: 1).fault(for: pooled) != nil)
    #expect(embedding([1, 2], padded: 1, pooled: [1, 2]).fault(for: pooled) != nil)
    #expect(embedding([1, 2], padded: 1, pooled: [1]).fault(for: masked) != nil)
    #expect(embedding([1, 2], padded: 2, pooled: [1]).fault(for: pooled) != nil)
    #expect(
      embedding([1, 2], padded: 1).fault(for: EmbeddingLayout(width: 3, padding: .masked)) != nil)
  }
}
