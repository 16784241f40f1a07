import Foundation
import TestSupport
import Testing

@Suite("Progress")
struct ProgressTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let utf8 = ["TERM": "xterm", "LC_ALL": "C.UTF-8", "NO_COLOR": ""]

  /// What a run shows on a terminal.
  private func text(
    columns: Int, _ environment: [String: String], _ flags: [String] = []
  ) throws -> String {
    let terminal = try PseudoTerminal(columns: columns)
    let outcome = try terminal.run(
      ["generate", "-p", "x", "--steps", "20", "--force", "-o", "a.png"] + flags, in: folder.url,
      environment: Self.utf8.merging(environment) { $1 })
    #expect(outcome.status == 0)
    return outcome.text
  }

  @Test("a live line never fills the terminal's width", arguments: [20, 40, 57, 80])
  func width(columns: Int) throws {
    let text = try text(columns: columns, [:])
    #expect(text.contains("step") && text.contains("\u{1B}[J"))
    for line in text.split(separator: "\r") {
      #expect(line.replacing("\u{1B}[J", with: "").count < columns, "\(line)")
    }
    // Nothing stays.
    #expect(text.hasSuffix("\r\u{1B}[J"))
  }

  @Test("blocks where the locale knows them, else ASCII")
  func locale() throws {
    #expect(try text(columns: 80, [:]).contains("\u{2588}"))
    for environment in [
      ["LC_ALL": "C"], ["LC_ALL": "POSIX"], ["LC_ALL": "", "LC_CTYPE": "", "LANG": ""],
      ["LC_ALL": "", "LC_CTYPE": "C", "LANG": "C.UTF-8"],
    ] {
      let text = try text(columns: 80, environment)
      #expect(text.contains("##") && text.contains("--"))
      #expect(text.utf8.allSatisfy { $0 < 0x80 })
    }
  }

  @Test("who wants no colours gets no escape sequences, and nothing stays")
  func noColor() throws {
    let text = try text(columns: 40, ["NO_COLOR": "1"])
    #expect(text.contains("step") && !text.contains("\u{1B}"))
    #expect(text.hasSuffix(" \r"))
  }

  @Test("terminals that can do nothing get lines, like files", arguments: ["dumb", ""])
  func dumb(name: String) throws {
    let usual = try text(columns: 80, ["TERM": name])
    // Too short for a line, but where a sanitizer makes it longer.
    #expect(usual.isEmpty || Sanitizer.isActive && usual.contains("ETA"), "\(usual)")
    let verbose = try text(columns: 80, ["TERM": name], ["-v"])
    #expect(verbose.contains("step 1/20"))
    for text in [usual, verbose] {
      #expect(!text.contains("\u{1B}") && !text.replacing("\r\n", with: "\n").contains("\r"))
    }
  }

  @Test(
    "without a terminal a line comes after some seconds, unless --quiet", .timeLimit(.minutes(2)))
  func lines() throws {
    let names = ["loud", "quiet"]
    for name in names { try folder.write([], to: name) }
    let processes = try names.map { name in
      try CommandLine.start(
        ["generate", "-p", "x", "--steps", "1000", "-o", name + ".png"]
          + (name == "quiet" ? ["--quiet"] : []), in: folder.url,
        errors: FileHandle(forWritingTo: folder.url.appendingPathComponent(name)))
    }
    defer { for process in processes { process.terminate() } }
    func errors(_ name: String) throws -> String {
      try String(contentsOf: folder.url.appendingPathComponent(name), encoding: .utf8)
    }
    let start = ContinuousClock.now
    while try errors("loud").isEmpty, processes[0].isRunning { usleep(100_000) }
    // A machine that is through in less needs no lines.
    guard processes[0].isRunning else { return }
    #expect(ContinuousClock.now - start > .seconds(4))
    let line = try errors("loud")
    #expect(
      line.wholeMatch(of: /step \d+\/1000  \d+\.\d\d s\/step  ETA [\d:]+\n/) != nil, "\(line)")
    #expect(try errors("quiet").isEmpty)
  }
}
