import Checkpoints
import Foundation
import Images
import ModelFiles
import TestSupport
import Testing

/// What a run has made is written somewhere, whatever happens to its names while it works.
@Suite("Results whose names cannot be had in the end")
struct RescueTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func names(in name: String = "") throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path(name))
      .filter { !$0.hasPrefix("std") }.sorted()
  }

  /// Runs the program and does something when it is at work: when `isReady` is true.
  private func run(
    _ arguments: [String], when isReady: (_ errors: String) -> Bool, _ body: () throws -> Void
  ) throws -> CommandLine.Outcome {
    let paths = ["std-output", "std-errors"].map { folder.path($0) }
    for path in paths { try Data().write(to: URL(fileURLWithPath: path)) }
    let handles = try paths.map { try FileHandle(forWritingTo: URL(fileURLWithPath: $0)) }
    let process = try CommandLine.start(
      arguments, in: folder.url, output: handles[0], errors: handles[1])
    func text(_ index: Int) throws -> String {
      try String(contentsOfFile: paths[index], encoding: .utf8)
    }
    while process.isRunning, !isReady(try text(1)) { usleep(2000) }
    #expect(process.isRunning)
    try body()
    process.waitUntilExit()
    return CommandLine.Outcome(
      status: process.terminationStatus, wasSignalled: process.terminationReason != .exit,
      output: try text(0), errors: try text(1))
  }

  /// Whether a file whose name begins so has content, more than the one byte by which the program
  /// finds out early whether it may write.
  private func isBeingWritten(_ beginning: String) -> Bool {
    let names = (try? names().filter { $0.hasPrefix(beginning) }) ?? []
    return names.contains { FileSystem.status(folder.path($0)).map { $0.st_size > 1 } ?? false }
  }

  private let generate = ["generate", "-p", "a red apple", "--steps", "60", "-v"]

  @Test("names that are taken meanwhile cost no picture, latents or statistics")
  func takenNames() throws {
    let outcome = try run(
      generate + [
        "-b", "2", "-o", "a.png", "--save-latents", "l.safetensors", "--stats", "s.json",
      ], when: { $0.contains("step 1/") }
    ) {
      for name in ["a_001.png", "l.safetensors", "s.json"] { try folder.write([9], to: name) }
    }
    #expect(outcome.status == 73, "\(outcome.errors)")
    #expect(outcome.output == "a_000.png\na_001-1.png\n")
    for line in [
      "note: a_001.png: exists already; written to a_001-1.png instead\n",
      "note: l.safetensors: exists already; written to l-1.safetensors instead\n",
      "note: s.json: exists already; written to s-1.json instead\n",
    ] {
      #expect(outcome.errors.contains(line), "\(outcome.errors)")
    }
    #expect(
      try names() == [
        "a_000.png", "a_001-1.png", "a_001.png", "l-1.safetensors", "l.safetensors", "s-1.json",
        "s.json",
      ])
    let stats = try String(contentsOfFile: folder.path("s-1.json"), encoding: .utf8)
    #expect(stats.contains("a_001-1.png"))
  }

  @Test("a folder that is gone sends its picture to the working folder, also with --quiet")
  func missingFolder() throws {
    try folder.write([], to: "out/x")
    let outcome = try run(
      generate.dropLast() + ["-q", "-o", "out/a.png", "--memory", "max"],
      when: { _ in usleep(300_000) == 0 }
    ) {
      try FileManager.default.removeItem(atPath: folder.path("out"))
    }
    #expect(outcome.status == 73 && outcome.output.isEmpty)
    #expect(outcome.errors.contains("written to a.png instead"), "\(outcome.errors)")
    #expect(try names() == ["a.png"])
  }

  @Test("a picture that its reader does not take becomes a file")
  func brokenPipe() throws {
    let line = "\"$1\" generate -p x --steps 1 -o /dev/stdout | true; echo ${PIPESTATUS[0]}"
    let outcome = try CommandLine.run(
      ["-c", line, "sh", CommandLine.executable.path], in: folder.url,
      program: URL(fileURLWithPath: "/bin/bash"))
    #expect(outcome.output == "74\n", "\(outcome.errors)")
    #expect(outcome.errors.contains("Broken pipe; written to stdout.png instead"))
    let bytes = [UInt8](try Data(contentsOf: folder.url.appendingPathComponent("stdout.png")))
    #expect(try RGBImage(pngData: bytes).width == 128)
  }

  @Test("an importance matrix and a converted model are kept under other names")
  func models() throws {
    try folder.write(Array("a red apple\n".utf8), to: "p.txt")
    let measured = try run(
      ["imatrix", "-f", "p.txt", "-o", "i.gguf", "--steps", "30", "-v"],
      when: { $0.contains("step 1/") }
    ) { try folder.write([9], to: "i.gguf") }
    #expect(measured.status == 73 && measured.output == "i-1.gguf\n", "\(measured.errors)")
    #expect(try ImportanceMatrix(path: folder.path("i-1.gguf")).count > 40)
    let model = Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path
    let converted = try run(
      ["convert", model, "m.gguf", "--type", "q2_K", "--quality", "best"],
      when: { _ in isBeingWritten(".m.gguf") }
    ) { try folder.write([9], to: "m.gguf") }
    #expect(converted.status == 73, "\(converted.errors)")
    #expect(
      converted.errors.contains(
        "m.gguf: was created by someone else meanwhile; written to m-1.gguf"))
    #expect(converted.output.contains("m-1.gguf"))
    #expect(try TensorArchive(path: folder.path("m-1.gguf")).tensors.records.count > 200)
    #expect(try names() == ["i-1.gguf", "i.gguf", "m-1.gguf", "m.gguf", "p.txt"])
  }

  @Test("each file of a comparison's report is written, where its name is taken beside it")
  func report() throws {
    try folder.write(Array("a red apple\n".utf8), to: "p.txt")
    let outcome = try run(
      ["compare", "--types", "q8_0", "--no-noise-floor", "-f", "p.txt", "-o", "out"],
      when: { _ in FileSystem.exists(folder.path("out/cache/weights")) }
    ) {
      usleep(100_000)
      for name in ["results.csv", "report.html"] { try folder.write([9], to: "out/\(name)/file") }
    }
    #expect(outcome.status == 73, "\(outcome.errors)")
    let written = try names(in: "out")
    for name in ["results.json", "results-1.csv", "report-1.html", "contact-sheet.png"] {
      #expect(written.contains(name), "\(written)")
    }
    #expect(outcome.output.contains("Q8_0") && outcome.output.hasSuffix("out/report-1.html\n"))
  }

  @Test("measurements whose folder takes nothing any more go on in another one")
  func measurements() throws {
    let model = Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path
    let outcome = try run(
      ["convert", model, "m.gguf", "--target-size", "12.6MB", "--measured", "measured", "-v"],
      when: { $0.contains("reference") }
    ) {
      // A folder under the name of the file that is kept next.
      let names = try names(in: "measured")
      let key = try #require(names.first { $0.hasPrefix("overlay") || $0.hasPrefix("paths") })
      #expect(!key.isEmpty)
      try FileManager.default.moveItem(
        atPath: folder.path("measured"), toPath: folder.path("moved"))
      try folder.write([9], to: "measured")
    }
    #expect(outcome.status == 73 || outcome.status == 74, "\(outcome.errors)")
    #expect(outcome.errors.contains("written to measured-1 instead"), "\(outcome.errors)")
    #expect(try names().contains("m.gguf") && names().contains("measured-1"))
  }
}
