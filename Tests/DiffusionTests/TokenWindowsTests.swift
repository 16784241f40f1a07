import Diffusion
import Foundation
import StrictJSON
import TestSupport
import Testing
import Tokenizers

@Suite("Windows of CLIP's tokens")
struct TokenWindowsTests {
  private let format = WindowFormat(start: 900, end: 901, padding: 0, comma: 44)

  private func prompt(_ text: String, _ weighting: PromptWeighting) throws -> WeightedPrompt {
    try WeightedPrompt(text, weighting)
  }

  @Test("without a grammar the first window is all there is, as in diffusers")
  func single() throws {
    let tokens = Array(Int32(1)...100)
    let windows = format.windows(of: WeightedPrompt("x"), tokens: [tokens])
    #expect(windows.map(\.ids) == [[900] + tokens[..<75] + [901]])
    let short = format.windows(of: WeightedPrompt("x"), tokens: [[1, 2]])
    #expect(short.map(\.ids) == [[900, 1, 2, 901] + [Int32](repeating: 0, count: 73)])
    #expect(format.windows(of: WeightedPrompt(""), tokens: [[]]).count == 1)
  }

  @Test("the web UI ends a window behind a comma that is near, and at BREAK")
  func commas() throws {
    // A comma 10 tokens before the end: what follows it moves.
    var tokens = [Int32](repeating: 7, count: 80)
    tokens[64] = 44
    let windows = format.windows(of: try prompt("x", .a1111), tokens: [tokens])
    #expect(windows.count == 2)
    #expect(windows[0].ids[65] == 44 && windows[0].ids[66] == 901 && windows[0].ids[67] == 0)
    #expect(windows[1].ids[1...15].allSatisfy { $0 == 7 } && windows[1].ids[16] == 901)
    tokens[64] = 7
    tokens[50] = 44
    let far = format.windows(of: try prompt("x", .a1111), tokens: [tokens])
    #expect(far[0].ids[75] == 7 && far[1].ids[6] == 901)
    let broken = try prompt("a BREAK b", .a1111)
    #expect(
      format.windows(of: broken, tokens: [[1], [99, 98], [2]]).map { $0.ids[1] } == [1, 2])
  }

  @Test("ComfyUI moves a short segment whole and cuts a long one")
  func segments() throws {
    let two = try prompt("a (b:1.5)", .comfy)
    #expect(two.pieces.map(\.weight) == [1, 1.5])
    let first = [Int32](repeating: 3, count: 70)
    let short = format.windows(of: two, tokens: [first, [Int32](repeating: 5, count: 7)])
    #expect(short[0].ids[71] == 901 && short[1].ids[1...8] == [5, 5, 5, 5, 5, 5, 5, 901])
    #expect(short[1].weights[1...8] == [1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1])
    let long = format.windows(of: two, tokens: [first, [Int32](repeating: 5, count: 8)])
    #expect(long[0].ids[71...76] == [5, 5, 5, 5, 5, 901] && long[1].ids[1...4] == [5, 5, 5, 901])
  }

  @Test(
    "windows are those of both programs",
    .enabled(if: Fixtures.extraData != nil, Comment(rawValue: Fixtures.extraDataReason)))
  func references() throws {
    let folder = try #require(Fixtures.extraData)
    let merges = try Data(contentsOf: folder.appendingPathComponent("tokenizers/clip/merges.txt"))
    let tokenizer = try Tokenizer(clipMerges: [UInt8](merges))
    let ends = tokenizer.encode("")
    let comma = try #require(tokenizer.encodeAlone([","])[0].first)
    let format = WindowFormat(
      start: try #require(ends.first), end: try #require(ends.last),
      padding: try #require(ends.last), comma: comma)
    #expect(format.start == 49406 && format.end == 49407 && comma == 267)
    let text = try String(
      contentsOf: folder.appendingPathComponent("families/prompt_windows.jsonl"), encoding: .utf8)
    var count = 0
    for line in text.split(separator: "\n") {
      let row = try JSONValue(parsing: String(line))
      for (key, weighting) in [("a1111", PromptWeighting.a1111), ("comfyui", .comfy)] {
        let prompt = try prompt(try #require(row["text"]?.stringValue), weighting)
        let windows = format.windows(
          of: prompt, tokens: tokenizer.encodeAlone(prompt.pieces.map(\.text)))
        let expected = try #require(row[key]?.arrayValue)
        #expect(windows.count == expected.count)
        for (window, wanted) in zip(windows, expected) {
          let ids = wanted["ids"]?.arrayValue?.compactMap(\.integerValue)
          #expect(window.ids.map { Int($0) } == ids)
          let weights = (wanted["w"]?.arrayValue ?? []).compactMap(\.doubleValue)
          #expect(weights.count == 77)
          #expect(zip(window.weights, weights).allSatisfy { abs(Double($0) - $1) < 1e-6 })
          count += 1
        }
      }
    }
    #expect(count >= 32)
  }
}
