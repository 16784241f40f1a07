import Checkpoints
import Foundation
import Images
import ModelFiles
import StrictJSON
import TestSupport
import Testing

import TextToImage

@Suite("Prompts and names as people type them")
struct PromptInputTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func run(_ arguments: String...) throws -> CommandLine.Outcome {
    try CommandLine.run(arguments, in: folder.url)
  }

  private func shell(_ line: String) throws -> CommandLine.Outcome {
    try CommandLine.shell(line, in: folder.url)
  }

  private func files() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  private func text(_ name: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: folder.path(name))), as: UTF8.self)
  }

  private func metadata(_ name: String) throws -> JSONValue {
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: folder.path(name))))
    return try JSONValue(parsing: try #require(PNGTexts.read(bytes)?["auraflow"]))
  }

  @Test("- is standard input and output; ./- is a file")
  func dashes() throws {
    let outcome = try shell(
      #"printf 'a cat\nat night\n' | "$1" generate -p - -o - --steps 1 --stats s.json > a.png"#)
    #expect(outcome.status == 0 && outcome.errors == "/dev/stdout\n", "\(outcome.errors)")
    #expect(try metadata("a.png")["prompt"]?.stringValue == "a cat\nat night")
    #expect(try run("generate", "-p", "a cat", "--steps", "1", "-o", "./-").output == "./-\n")
    #expect(try files() == ["-", "a.png", "s.json"])
    let stats = try run("generate", "-p", "x", "--steps", "1", "-o", "b.png", "--stats", "-")
    #expect(try JSONValue(parsing: stats.output)["images"] != nil)
    #expect(stats.errors == "b.png\n")
    let empty = try run("generate", "-p", "-", "-o", "c.png")
    #expect(empty.status == 65 && empty.errors.contains("standard input: is empty"))
  }

  @Test(
    "what - cannot be is refused with one line",
    arguments: [
      (["generate", "-p", "x", "-b", "2", "-o", "-"], "takes one picture"),
      (["generate", "-p", "x", "-o", "-", "--stats", "-"], "two outputs"),
      (["compare", "--types", "q8_0", "-o", "-"], "cannot go to standard output"),
      (["synthesize", "--preset", "tiny", "-"], "cannot go to standard output"),
      (["convert", "in.gguf", "-", "--type", "q8_0"], "cannot go to standard output"),
    ])
  func refusedDashes(_ arguments: [String], _ message: String) throws {
    let outcome = try CommandLine.run(arguments, in: folder.url)
    #expect(outcome.status == 64 && outcome.errors.contains(message), "\(outcome.errors)")
    #expect(try files().isEmpty)
  }

  @Test(
    "a picture is not written onto a terminal",
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script")))
  func terminal() throws {
    let outcome = try shell(
      #"script -qec "'$1' generate -p x --steps 1 -o -" /dev/null < /dev/null"#)
    #expect(outcome.status == 64 && outcome.output.contains("a terminal cannot show this file"))
  }

  @Test("an importance matrix goes to standard output")
  func importanceOutput() throws {
    let outcome = try shell(#""$1" imatrix -p "a cat" --steps 1 -o - > i.gguf"#)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(try ImportanceMatrix(path: folder.path("i.gguf")).count > 40)
  }

  // MARK: Files of prompts

  private let lines = """
    # four pictures
    a red apple
    {"prompt": "a dog", "seed": 42, "output": "dog.png", "num_images": 2}

    {"prompt": "# hash", "steps": 2, "negativePrompt": "blurry", "width": 96}
    """

  @Test("a file of prompts is one run: seeds and names are counted over all of it")
  func promptFile() throws {
    try folder.write(Array(lines.utf8), to: "p.txt")
    let outcome = try run(
      "generate", "-f", "p.txt", "-o", "n_%02d.png", "--steps", "1", "-s", "10", "--json")
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(try files() == ["dog_000.png", "dog_001.png", "n_00.png", "n_03.png", "p.txt"])
    let expected: [(String, String, Int, Int)] = [
      ("n_00.png", "a red apple", 10, 128), ("dog_000.png", "a dog", 42, 128),
      ("dog_001.png", "a dog", 43, 128), ("n_03.png", "# hash", 13, 96),
    ]
    let images = try #require(try JSONValue(parsing: outcome.output)["images"]?.arrayValue)
    #expect(images.count == 4)
    for (image, (file, prompt, seed, width)) in zip(images, expected) {
      for found in [image, try metadata(file)] {
        #expect(found["prompt"]?.stringValue == prompt && found["seed"]?.integerValue == seed)
        #expect(found["width"]?.integerValue == width)
      }
      #expect(image["file"]?.stringValue == file)
    }
    // The same picture by itself.
    #expect(
      try run(
        "generate", "-p", "a dog", "-s", "43", "--steps", "1", "-o", "dog.png"
      ).status == 0)
    #expect(try text("dog.png") == text("dog_001.png"))
  }

  @Test("files of prompts come from pipes too, with any line ends; -b multiplies")
  func pipedFile() throws {
    let outcome = try shell(
      #"printf '\357\273\277# x\r\na cat\r\n\r\na dog\r\n' | "$1" generate -f - -b 2 --steps 1"#)
    #expect(outcome.status == 0)
    #expect(
      outcome.output == (0..<4).map { "output_00\($0).png\n" }.joined(), "\(outcome.errors)")
    #expect(try metadata("output_001.png")["prompt"]?.stringValue == "a cat")
    #expect(try metadata("output_002.png")["seed"]?.integerValue == 2)
    let fifo = try shell(
      #"mkfifo f; (echo "a cat" > f &) ; "$1" generate --prompt-file f -o one.png --steps 1"#)
    #expect(fifo.status == 0 && fifo.output == "one.png\n", "\(fifo.errors)")
  }

  @Test(
    "every line is checked before the first picture",
    arguments: [
      ("a\n{\"prompt\": \"b\", \"width\": 100}", 64, "prompt 2 of p.txt: width 100"),
      ("a\n{\"prompt\": \"b\", \"steps\": 10000}", 71, "prompt 2 of p.txt: 128x128 needs"),
      ("a\n{\"prompt\": \"b\", \"size\": 100}", 65, "p.txt: line 2: 'size' is not a setting"),
      ("a\n{\"prompt\": \"b\", \"output\": \"p_000.png\"}", 64, "two outputs"),
      ("a\n{\"prompt\": \"b\", \"output\": \"no/b.png\"}", 73, "no/b.png"),
      ("", 65, "has no prompt"), ("{\"prompt\": \"a\", \"output\": \"a.txt\"}", 65, ".png"),
    ])
  func lineFaults(_ text: String, _ status: Int32, _ message: String) throws {
    try folder.write(Array(text.utf8), to: "p.txt")
    let outcome = try run(
      "generate", "-f", "p.txt", "-o", "p.png", "--steps", "1", "--memory", "128MiB")
    #expect(outcome.status == status && outcome.errors.contains(message), "\(outcome.errors)")
    #expect(try files() == ["p.txt"])
  }

  @Test(
    "prompts in two ways, in none or in several are refused by generate",
    arguments: [
      ([], "no prompt"), (["-p", "a", "-f", "p.txt"], "contradict"),
      (["-p", "a", "-p", "b"], "given 2 times"), (["-f", ""], "no file"),
      (["-f", "p.txt", "--latents", "l.safetensors"], "single --prompt"),
    ])
  func contradictions(_ arguments: [String], _ message: String) throws {
    let outcome = try CommandLine.run(["generate"] + arguments, in: folder.url)
    #expect(outcome.status == 64 && outcome.errors.contains(message), "\(outcome.errors)")
  }

  @Test("other verbs take the same file, --prompt several times, or prompts of their own")
  func otherVerbs() throws {
    try folder.write(Array(lines.utf8), to: "p.txt")
    let measured = try run("imatrix", "-f", "p.txt", "-o", "i.gguf", "--steps", "1", "-v")
    #expect(measured.status == 0, "\(measured.errors)")
    #expect(measured.errors.contains("note: numImages, output in p.txt: without effect here"))
    #expect(measured.errors.contains("prompt 3/3: step 2/2"))
    #expect(try ImportanceMatrix(path: folder.path("i.gguf")).chunkCount == 3)
    let compared = try run(
      "compare", "--types", "q8_0", "--no-noise-floor", "-p", "a cat", "-p", "a dog", "-o", "out",
      "--json")
    let settings = try JSONValue(parsing: compared.output)["settings"]
    #expect(settings?["prompts"]?.arrayValue?.count == 2, "\(compared.errors)")
    let own = try run("imatrix", "-o", "own.gguf", "--steps", "1")
    #expect(own.status == 0, "\(own.errors)")
    #expect(try ImportanceMatrix(path: folder.path("own.gguf")).chunkCount == 8)
  }

  // MARK: Notes

  @Test("what is known of prompts is said before the first step, by every verb")
  func earlyNotes() throws {
    let long = String(repeating: "very ", count: 60) + "long"
    let outcome = try run(
      "generate", "-p", long, "-n", "blurry", "--guidance-scale", "1", "--steps", "1", "-v")
    let lines = outcome.errorLines
    let first = try #require(lines.firstIndex { $0.contains("step 1/1: sigma") })
    for note in ["the prompt is cut:", "the negative prompt has no effect"] {
      let place = try #require(lines.firstIndex { $0.contains(note) }, "\(outcome.errors)")
      #expect(place < first)
    }
    try folder.write(Array("a cat\n\(long)\n".utf8), to: "p.txt")
    let measured = try run(
      "imatrix", "-f", "p.txt", "-o", "i.gguf", "--steps", "1", "-v", "--guidance-scale", "1")
    let start = try #require(measured.errorLines.firstIndex { $0.contains("encoding text") })
    for note in ["1 of 2 prompts are cut; the first is number 2", "guidance is off"] {
      let place = try #require(
        measured.errorLines.firstIndex { $0.contains(note) }, "\(measured.errors)")
      #expect(place < start)
    }
    let compared = try run(
      "compare", "--types", "q8_0", "-f", "p.txt", "--no-noise-floor", "-o", "out")
    #expect(compared.errors.hasPrefix("note: 1 of 2 prompts are cut"), "\(compared.errors)")
  }
}
