import ModelFiles
import Testing

import TextToImage

@Suite("Files of prompts")
struct PromptLinesTests {
  private func prompts(_ text: String) throws -> [PromptLine] {
    try PromptLines.parse(text, path: "prompts.txt")
  }

  @Test("a line may have seed, number of pictures and file of its own")
  func pictures() throws {
    let found = try prompts(
      """
      {"prompt": "# a cat", "seed": 7, "numImages": 2, "output": "cat.png"}
      {"prompt": "{", "seed": "18446744073709551615", "num_images": 1}
      """)
    #expect(found.map(\.text) == ["# a cat", "{"])
    #expect(found.map(\.seed) == [7, .max] && found.map(\.imageCount) == [2, 1])
    #expect(found.map(\.output) == ["cat.png", nil])
  }

  @Test("a line may start from a picture of its own")
  func starts() throws {
    let found = try prompts(
      "{\"prompt\": \"a\", \"init_image\": \"a.png\", \"mask\": \"m.png\", \"strength\": 0.5}")
    #expect(found[0].initImage == "a.png" && found[0].mask == "m.png" && found[0].strength == 0.5)
    #expect(found[0].keys == [.initImage, .mask, .strength])
  }

  @Test("lines end as on any system, and the numbers in messages are those of an editor")
  func endings() throws {
    for ending in ["\n", "\r", "\r\n"] {
      let text = ["a", "# b", "", "c", "{}"].joined(separator: ending)
      #expect {
        try prompts(text)
      } throws: { error in
        "\(error)".contains("line 5: has no 'prompt'")
      }
    }
  }

  @Test("lines are prompts; empty ones and comments are not")
  func lines() throws {
    let found = try prompts("a cat\r\n\n# a comment\n  a dog, #1  \n")
    #expect(found == [PromptLine("a cat"), PromptLine("a dog, #1")])
  }

  @Test("objects bring settings, in either spelling")
  func objects() throws {
    let found = try prompts(
      """
      {"prompt": "a cat", "negativePrompt": "a dog", "width": 64, "height": 128, "steps": 3}
      {"prompt": "a hat", "guidance_scale": 2, "shift": 1.5, "max_sequence_length": 8}
      """)
    var first = PromptLine("a cat")
    first.negativePrompt = "a dog"
    (first.width, first.height, first.steps) = (64, 128, 3)
    var second = PromptLine("a hat")
    (second.guidanceScale, second.shift, second.maxSequenceLength) = (2, 1.5, 8)
    #expect(found == [first, second])
    var common = GenerationRequest(prompt: "")
    (common.seed, common.guidanceScale, common.negativePrompt) = (7, 5, "blurry")
    let request = second.request(common)
    #expect(request.prompt == "a hat" && request.seed == 7 && request.guidanceScale == 2)
    #expect(request.negativePrompt == "blurry" && first.request(common).negativePrompt == "a dog")
    #expect(second.keys == [.guidanceScale, .shift, .maxSequenceLength])
  }

  @Test(
    "faults name the line",
    arguments: [
      ("a\n{\"prompt\": 3}", "line 2: 'prompt' is 3, expected a string"),
      ("{\"width\": 64}", "line 1: has no 'prompt'"),
      ("\n{\"prompt\": \"a\", \"width\": 1.5}", "line 2: 'width' is 1.5"),
      ("{\"prompt\": \"a\", \"size\": 3}", "'size' is not a setting"),
      ("{\"prompt\": \"a\", \"Prompt\": \"b\"}", "'Prompt' twice"),
      ("{\"prompt\": \"a\"", "line 1: is not a JSON object"),
      ("{\"prompt\": \"a\", \"size\": 3}", "settings are prompt, negativePrompt, promptWeights"),
      ("{\"prompt\": \"a\", \"seed\": -1}", "'seed' is -1, expected an integer of at least 0"),
      ("{\"prompt\": \"a\", \"numImages\": 0}", "from 1 to 256"),
      ("{\"prompt\": \"a\", \"output\": \"/etc/passwd\"}", "ending in .png"),
      ("{\"prompt\": \"a\", \"initImage\": \"\"}", "the name of a file"),
      ("{\"prompt\": \"a\", \"strength\": \"much\"}", "expected a number"),
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
