import Comparison
import ModelFiles
import Testing

@Suite("Files of prompts to compare")
struct ComparisonPromptsTests {
  private func prompts(_ text: String) throws -> [ComparisonPrompt] {
    try ComparisonPrompts(text: text, path: "prompts.txt").prompts
  }

  @Test("lines are prompts; empty ones and comments are not")
  func lines() throws {
    let found = try prompts("a cat\r\n\n# a comment\n  a dog, #1  \n")
    #expect(found == [ComparisonPrompt("a cat"), ComparisonPrompt("a dog, #1")])
  }

  @Test("objects bring settings, in either spelling")
  func objects() throws {
    let found = try prompts(
      """
      {"prompt": "a cat", "negativePrompt": "a dog", "width": 64, "height": 128, "steps": 3}
      {"prompt": "a hat", "guidance_scale": 2, "shift": 1.5, "max_sequence_length": 8}
      """)
    var first = ComparisonPrompt("a cat")
    first.negativePrompt = "a dog"
    (first.width, first.height, first.steps) = (64, 128, 3)
    var second = ComparisonPrompt("a hat")
    (second.guidanceScale, second.shift, second.maxSequenceLength) = (2, 1.5, 8)
    #expect(found == [first, second])
    let request = second.request(seed: 7)
    #expect(request.prompt == "a hat" && request.seed == 7 && request.guidanceScale == 2)
  }

  @Test(
    "faults name the line",
    arguments: [
      ("a\n{\"prompt\": 3}", "line 2: 'prompt' is 3, expected a text"),
      ("{\"width\": 64}", "line 1: has no 'prompt'"),
      ("\n{\"prompt\": \"a\", \"width\": 1.5}", "line 2: 'width' is 1.5"),
      ("{\"prompt\": \"a\", \"size\": 3}", "'size' is no setting"),
      ("{\"prompt\": \"a\", \"Prompt\": \"b\"}", "'Prompt' twice"),
      ("{\"prompt\": \"a\"", "line 1: is no JSON object"),
      ("# only this\n", "has no prompt"), ("", "has no prompt"),
    ])
  func faults(_ text: String, _ message: String) throws {
    #expect {
      try prompts(text)
    } throws: { error in
      (error as? ModelFileError)?.kind == .malformed && "\(error)".contains(message)
    }
  }
}
