import Foundation
import StrictJSON
import TestSupport
import Testing

@Suite("Wrong usage")
struct UsageErrorTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try CommandLine.run(arguments, in: folder.url)
  }

  @Test(
    "errors end with the usage of the verb concerned, whoever finds them",
    arguments: [
      ("generate -p x -o a.jpg", "generate"), ("generate", "generate"),
      ("generate -p x --memory 8Q", "generate"), ("synthesize --preset huge a.gguf", "synthesize"),
      ("synthesize --preset tiny a.zip", "synthesize"), ("convert a b.gguf", "convert"),
      ("bench matmul --types q9", "bench matmul"), ("plan --widht 3", "plan"),
    ])
  func usage(line: String, verb: String) throws {
    let outcome = try run(line.split(separator: " ").map(String.init))
    #expect(outcome.status == 64 && outcome.output.isEmpty)
    #expect(outcome.errors.hasPrefix("error: "))
    #expect(outcome.errors.contains("\nUsage: auraflow \(verb) "), "\(outcome.errors)")
    #expect(outcome.errors.hasSuffix("See 'auraflow \(verb) --help' for more information.\n"))
  }

  @Test(
    "what was mistyped is named with what is near, and with nothing else",
    arguments: [
      ("genrate -p x", "unknown verb 'genrate'. Did you mean 'generate'?"),
      ("bench matmull", "unknown verb 'matmull'. Did you mean 'matmul'?"),
      ("help genrate", "Did you mean 'generate'?"),
      ("frobnicate", "unknown verb 'frobnicate'. Verbs"),
      ("generate -p x --promt y", "unknown option '--promt'. Did you mean '--prompt'?"),
      ("generate -p x --heigth 3", "Did you mean '--height'?"),
      ("generate -p x --negative y", "Did you mean '--negative-prompt'?"),
      ("generate -p x --abc 3", "unknown option '--abc'\n"),
      ("generate -p x -x 3", "unknown option '-x'\n"),
    ])
  func spelling(line: String, message: String) throws {
    let outcome = try run(line.split(separator: " ").map(String.init))
    #expect(outcome.status == 64 && outcome.errors.contains(message), "\(outcome.errors)")
  }

  @Test("names that other programs have for an option are its names too")
  func aliases() throws {
    for flags in [["--cfg", "2"], ["--cfg-scale", "2"], ["--guidance-scale", "2"]] {
      let outcome = try run(
        ["generate", "-p", "x", "--steps", "1", "--force", "-o", "a.png"] + flags)
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
  }

  @Test(
    "with --json an error is one JSON object on stderr, and stdout stays empty",
    arguments: [
      ("generate --json -p x --memory 8Q", 64, "usage"),
      ("generate -p x -o a.jpg --json", 64, "usage"), ("genrate --json", 64, "usage"),
      ("inspect nothing.gguf --json", 66, "missingInput"),
      ("generate --json -p x --steps 1 -o nowhere/a.png", 73, "cannotWrite"),
      ("inspect bad.gguf --json", 65, "badData"),
    ])
  func json(line: String, code: Int, kind: String) throws {
    try folder.write(Array("GGUF".utf8), to: "bad.gguf")
    let outcome = try run(line.split(separator: " ").map(String.init))
    #expect(Int(outcome.status) == code && outcome.output.isEmpty)
    #expect(outcome.errorLines.count == 1, "\(outcome.errors)")
    let error = try JSONValue(parsing: outcome.errors)["error"]
    #expect(error?["exitCode"]?.integerValue == code && error?["kind"]?.stringValue == kind)
    #expect(try #require(error?["message"]?.stringValue).isEmpty == false)
  }

  @Test("a prompt that says --json is a prompt")
  func prompt() throws {
    let outcome = try run(["generate", "-p", "--json", "-m", "nothing", "-o", "a.png"])
    #expect(outcome.status == 66 && outcome.errors.hasPrefix("error: "))
  }
}
