import Diffusion
import Foundation
import StrictJSON
import TestSupport
import Testing

@Suite("Prompt weights") struct PromptWeightingTests {
  private func pieces(_ text: String, _ weighting: PromptWeighting) throws -> [WeightedText] {
    try WeightedPrompt(text, weighting).pieces
  }

  @Test("the two grammars differ where their programs do")
  func grammars() throws {
    func weights(_ text: String, _ weighting: PromptWeighting) throws -> [String: Double] {
      Dictionary(
        try pieces(text, weighting).map { ($0.text, ($0.weight * 1e6).rounded() / 1e6) },
        uniquingKeysWith: { $1 })
    }
    #expect(try weights("((a:1.5))", .a1111) == ["a": 1.65])
    #expect(try weights("((a:1.5))", .comfy) == ["a": 1.5])
    #expect(try weights("[a]", .a1111) == ["a": 0.909091])
    #expect(try weights("[a]", .comfy) == ["[a]": 1])
    #expect(try weights("(open", .a1111) == ["open": 1.1])
    #expect(try weights("(open", .comfy) == ["(open": 1])
    #expect(try weights("(a:1.5 )", .a1111) == ["a:1.5 ": 1.1])
    #expect(try weights("(a:1.5 )", .comfy) == ["a": 1.5])
    #expect(try weights("(a) [b]", .off) == ["(a) [b]": 1])
    #expect(try pieces("x BREAK y", .a1111).map(\.weight) == [1, -1, 1])
    #expect(try WeightedPrompt("\\(a\\) cat", .a1111).isPlain)
    #expect(try WeightedPrompt("\\(a\\) cat", .comfy).text == "(a) cat")
  }

  @Test(
    "blanks beside BREAK are taken away in a time that grows with their number",
    .timeLimit(.minutes(1)))
  func blanks() throws {
    let blanks = String(repeating: " ", count: 60_000)
    let found = try pieces("a\(blanks)BREAK\(blanks)b\(blanks)", .a1111)
    #expect(found.map(\.text) == ["a", "BREAK", "b\(blanks)"])
  }

  @Test("what cannot be read is refused in one line")
  func faults() throws {
    #expect(throws: PromptWeightError.self) { try pieces("(a:1.2.3)", .a1111) }
    #expect(throws: PromptWeightError.self) { try pieces("(a:1e9)", .comfy) }
    #expect(throws: PromptWeightError.self) { try pieces("(a:99999)", .a1111) }
    let deep = String(repeating: "(", count: 9000) + "x" + String(repeating: ")", count: 9000)
    #expect(throws: PromptWeightError.self) { try pieces(deep, .comfy) }
    #expect(throws: PromptWeightError.self) { try pieces(deep, .a1111) }
  }

  @Test(
    "pieces are those of the programs themselves",
    .enabled(if: Fixtures.extraData != nil, Comment(rawValue: Fixtures.extraDataReason)))
  func references() throws {
    let folder = try #require(Fixtures.extraData)
    let text = try String(
      contentsOf: folder.appendingPathComponent("families/prompt_weights.json"), encoding: .utf8)
    var count = 0
    for row in try #require(try JSONValue(parsing: text).arrayValue) {
      let prompt = try #require(row["text"]?.stringValue)
      for (key, weighting) in [("a1111", PromptWeighting.a1111), ("comfyui", .comfy)] {
        guard let rows = row[key]?.arrayValue else {
          #expect(throws: PromptWeightError.self, "\(prompt)") { try pieces(prompt, weighting) }
          continue
        }
        var wanted = rows.map {
          WeightedText($0.arrayValue?[0].stringValue ?? "", $0.arrayValue?[1].doubleValue ?? 0)
        }
        if wanted.isEmpty { wanted = [WeightedText("")] }
        let found = try pieces(prompt, weighting)
        #expect(found.map(\.text) == wanted.map(\.text), "\(key) \(prompt)")
        for (left, right) in zip(found, wanted) {
          #expect(abs(left.weight - right.weight) < 1e-9, "\(key) \(prompt)")
        }
        count += 1
      }
    }
    #expect(count > 50)
  }
}
