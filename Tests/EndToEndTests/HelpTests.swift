import Checkpoints
import Foundation
import ModelCatalog
import TestSupport
import Testing

@Suite("Help and completion")
struct HelpTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let verbs = [
    [], ["generate"], ["encode"], ["decode"], ["plan"], ["convert"], ["compare"], ["imatrix"],
    ["synthesize"], ["inspect"],
    ["bench"], ["bench", "matmul"], ["bench", "accuracy"], ["bench", "step"],
  ]

  private func help(_ verb: [String], columns: Int) throws -> String {
    let outcome = try CommandLine.run(
      verb + ["--help"], in: folder.url, environment: ["COLUMNS": "\(columns)"])
    #expect(outcome.status == 0 && outcome.errors.isEmpty)
    return outcome.output
  }

  @Test(
    "defaults that the help states are those of published models",
    arguments: [
      ("AuraFlow", "auraflow-v0.3"), ("FLUX.1-dev", "flux-dev"), ("FLUX.1-schnell", "flux-schnell"),
    ])
  func defaults(kind: String, preset name: String) throws {
    let row = try #require(
      try help(["generate"], columns: 80).split(separator: "\n").map {
        $0.split(separator: " ").map(String.init)
      }.first { $0.first == kind && $0.contains("1024x1024") })
    let preset = try #require(FamilyCatalog.known.presets.first { $0.preset.name == name }?.preset)
    let defaults = preset.defaults
    // FLUX.1 is guided by itself, or not at all.
    let guidance = defaults.guidance ?? (defaults.guidanceScale > 1 ? defaults.guidanceScale : nil)
    let shift = defaults.shift.fixed.map { [String(format: "%g", $0)] } ?? ["by", "size"]
    let size = "\(defaults.width)x\(defaults.height)"
    #expect(
      row == [kind, size, "\(defaults.steps)"] + (guidance.map { [String(format: "%g", $0)] } ?? [])
        + shift + ["\(defaults.maxSequenceLength)"])
  }

  @Test("no paragraph has an end of line of its own, at any width", arguments: verbs)
  func paragraphs(verb: [String]) throws {
    var words: [[Substring]] = []
    var commands: [[Substring]] = []
    for columns in [40, 80, 132] {
      let text = try help(verb, columns: columns)
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      for (line, next) in zip(lines, lines.dropFirst()) {
        // Prose begins at the margin; headings are upper case.
        guard let first = line.first, first != " ", line.uppercased() != line else { continue }
        #expect(line.count <= columns || !line.contains(" "), "\(line)")
        guard let word = next.split(separator: " ").first, next.first != " ",
          next.uppercased() != next
        else { continue }
        #expect(line.count + 1 + word.count > columns, "\(columns): \(line)|\(next)")
      }
      words.append(text.split(whereSeparator: \.isWhitespace))
      commands.append(lines.filter { $0.hasPrefix("  auraflow ") || $0.hasPrefix("  {") })
    }
    #expect(words[0] == words[1] && words[1] == words[2])
    // What can be copied stays in one piece.
    #expect(commands[0] == commands[1] && commands[1] == commands[2])
  }

  @Test("options are wrapped below their own text", arguments: verbs)
  func options(verb: [String]) throws {
    for columns in [40, 80, 132] {
      let lines = try help(verb, columns: columns).split(separator: "\n")
      let start = try #require(lines.firstIndex { $0.hasPrefix("USAGE:") })
      for line in lines[start...] where line.first == " " && !line.contains("See 'auraflow") {
        #expect(line.count <= columns, "\(line)")
        let isTerm = line.prefix(3).last != " "
        #expect(isTerm || line.hasPrefix(columns < 60 ? "      " : "                          "))
      }
    }
  }

  @Test("the program alone prints its help, and a verb's names what it teaches")
  func alone() throws {
    let outcome = try CommandLine.run([], in: folder.url)
    #expect(outcome.status == 0 && outcome.output.contains("SUBCOMMANDS:"))
    for fragment in ["--generate-completion-script", "NO_COLOR", "\"exitCode\"", "powers of 1024"] {
      #expect(outcome.output.contains(fragment))
    }
  }

  @Test("scripts for completion are whole", arguments: ["bash", "zsh", "fish"])
  func completion(shell: String) throws {
    let outcome = try CommandLine.run(["--generate-completion-script", shell], in: folder.url)
    #expect(outcome.status == 0 && outcome.output.contains("diffusion-model"))
    #expect(outcome.output.contains("Q4_K_M") && outcome.output.contains("text-encoder"))
    try folder.write(Array(outcome.output.utf8), to: "script")
    let check = "command -v \(shell) > /dev/null || exit 0; \(shell) -n script"
    let parsed = try CommandLine.shell(check, in: folder.url)
    #expect(parsed.status == 0, "\(parsed.errors)")
  }

  @Test("bash completes verbs, values and files")
  func bashCompletion() throws {
    let script = try CommandLine.run(["--generate-completion-script", "bash"], in: folder.url)
    try folder.write(Array(script.output.utf8), to: "script")
    try folder.write([], to: "model-x.gguf")
    for (words, expected) in [
      ("gen", "generate"), ("generate --model mod", "model-x.gguf"),
      ("convert a b --type Q4_K_", "Q4_K_M"), ("generate --io m", "mmap"),
    ] {
      let last = words.split(separator: " ").count
      let line = """
        . ./script; COMP_LINE="auraflow \(words)"; COMP_POINT=${#COMP_LINE}
        COMP_WORDS=(auraflow \(words)); COMP_CWORD=\(last); COMPREPLY=()
        _auraflow auraflow "${COMP_WORDS[\(last)]}" "${COMP_WORDS[\(last - 1)]}"
        printf '%s\\n' "${COMPREPLY[@]}"
        """
      let outcome = try CommandLine.run(
        ["-c", line], in: folder.url, program: URL(fileURLWithPath: "/bin/bash"))
      #expect(outcome.output.contains(expected), "\(words): \(outcome.output) \(outcome.errors)")
    }
  }
}
