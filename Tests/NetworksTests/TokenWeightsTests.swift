import Compute
import ComputeCPU
import Diffusion
import Networks
import Testing

@Suite("Weights of tokens") struct TokenWeightsTests {
  private let device = CPUDevice(threadCount: 1)
  private let states: [Float] = [1, 2, 3, 4, 5, 6]
  private let empty: [Float] = [0.5, 1, -1, 2]

  private func applied(
    _ text: String, _ weighting: PromptWeighting, origins: [Int?], restoresMean: Bool = false,
    empty: [Float]?
  ) throws -> [Float] {
    let weights = try #require(
      TokenWeights(try WeightedPrompt(text, weighting), origins: origins))
    let matrix = try device.matrix(states, rows: 3, columns: 2)
    let base = try empty.map { try device.matrix($0, rows: 2, columns: 2) }
    return try device.read(
      weights.apply(to: matrix, restoresMean: restoresMean, empty: base, on: device))
  }

  @Test("ComfyUI's move states away from those of the empty prompt")
  func comfy() throws {
    // Pieces: (a:2), b, (c:0.5).
    let found = try applied("(a:2)b(c:0.5)", .comfy, origins: [0, 1, 2], empty: empty)
    #expect(found == [1.5, 3, 3, 4, 2.5, 3])
    let last = try applied("(a:2)b(c:0.5)", .comfy, origins: [1, 2, nil], empty: empty)
    #expect(last == [1, 2, 1, 3, 5, 6])
  }

  @Test("the web UI's multiply states, and bring their mean back where that is asked for")
  func attention() throws {
    #expect(try applied("(a:2)b", .a1111, origins: [0, 1, nil], empty: nil) == [2, 4, 3, 4, 5, 6])
    let found = try applied(
      "(a:2)b", .a1111, origins: [0, 1, nil], restoresMean: true, empty: nil)
    // The sum was 21 and became 24.
    let wanted = [2, 4, 3, 4, 5, 6].map { Float($0) * 21 / 24 }
    for (left, right) in zip(found, wanted) { #expect(abs(left - right) < 1e-6) }
  }

  @Test("a weight of -1 is one like any other; the mark of a new window is none")
  func negative() throws {
    let found = try applied("(a:-1)b", .comfy, origins: [0, 1, nil], empty: nil)
    #expect(found == [-1, -2, 3, 4, 5, 6])
    let marked = try applied("(a:2) BREAK b", .a1111, origins: [0, 1, 2], empty: nil)
    #expect(marked == [2, 4, 3, 4, 5, 6])
  }

  @Test("prompts that count alike have no weights")
  func plain() throws {
    #expect(TokenWeights(try WeightedPrompt("a \\(b\\)", .comfy), origins: [0]) == nil)
    #expect(TokenWeights(WeightedPrompt("(a:2)"), origins: [0]) == nil)
  }
}
