import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing

/// What the statistics of a run say of its memory.
struct PeakResident {
  let bytes: Int?

  init(_ path: String) throws {
    bytes = try JSONValue(parsing: String(contentsOfFile: path, encoding: .utf8))[
      "peakResidentBytes"]?.integerValue
  }
}

@Suite("Going on after an interruption", .serialized)
struct ResumeTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try folder.write(
      Array("a red apple\na cat\n{\"prompt\": \"a dog\", \"numImages\": 2}\n".utf8), to: "p.txt")
  }

  private let steps = 60

  private func arguments(_ output: String, _ more: [String] = []) -> [String] {
    [
      "generate", "-f", "p.txt", "--steps", "\(steps)", "--sampler", "dpmpp_2m", "-o", output,
    ] + more
  }

  private func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try CommandLine.run(arguments, in: folder.url)
  }

  private func bytes(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.path(name)))
  }

  private func names(_ start: String) -> [String] {
    FileSystem.names(in: folder.path).filter { $0.hasPrefix(start) }.sorted()
  }

  /// Runs until a file is there, then ends the run by a signal.
  private func interrupt(
    _ arguments: [String], when name: String, signal: Int32 = SIGINT
  ) throws -> Int32 {
    let process = try CommandLine.start(
      arguments, in: folder.url, output: FileHandle.nullDevice, errors: FileHandle.nullDevice)
    while process.isRunning, !FileSystem.exists(folder.path(name)) { usleep(500) }
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    return process.terminationStatus
  }

  @Test("the same pictures come out as without an interruption, and nothing is made twice")
  func interruption() throws {
    let whole = try run(arguments("w_%d.png"))
    #expect(whole.status == 0, "\(whole.errors)")
    let kept = ["--keep-every", "2"]
    // In the first picture, in a later one, and without a chance to write anything.
    for (name, signal) in [
      ("r_0.png.unfinished", SIGINT), ("r_1.png", SIGINT), ("r_0.png.unfinished", SIGKILL),
      ("r_2.png", SIGTERM),
    ] {
      let status = try interrupt(arguments("r_%d.png", kept), when: name, signal: signal)
      #expect(status == (signal == SIGKILL ? SIGKILL : 128 + signal))
      let there = names("r_").filter { $0.hasSuffix(".png") }
      let before = try there.map {
        try FileManager.default.attributesOfItem(atPath: folder.path($0))
      }
      let refused = try run(arguments("r_%d.png", kept))
      #expect(refused.status == 73, "\(refused.errors)")
      let resumed = try run(
        arguments("r_%d.png", kept + ["--resume", "--stats", "s.json", "--force"]))
      #expect(resumed.status == 0, "\(resumed.errors)")
      let made = try JSONValue(
        parsing: String(contentsOfFile: folder.path("s.json"), encoding: .utf8))
      #expect(made["images"]?.arrayValue?.count == 4 - there.count)
      let count = try #require(made["seconds"]?["steps"]?.arrayValue?.count)
      #expect(count < (4 - there.count) * steps || name != "r_0.png.unfinished")
      for index in 0..<4 { #expect(try bytes("r_\(index).png") == bytes("w_\(index).png")) }
      let after = try there.map {
        try FileManager.default.attributesOfItem(atPath: folder.path($0))
      }
      for (old, new) in zip(before, after) {
        #expect(old[.systemFileNumber] as? Int == new[.systemFileNumber] as? Int)
      }
      #expect(names("r_").count == 4)
      for name in names("r_") + ["s.json"] { FileSystem.unlink(folder.path(name)) }
    }
  }

  @Test("a finished run has nothing to go on with; other pictures and settings are refused")
  func others() throws {
    var arguments = ["generate", "-p", "a cat", "-b", "2", "--steps", "2", "-o", "a.png"]
    #expect(try run(arguments).status == 0)
    let again = try run(arguments + ["--resume"])
    #expect(again.status == 0 && again.errors.contains("note: 2 of 2 pictures are there"))
    #expect(again.output.isEmpty)
    let other = try run(arguments + ["--resume", "--seed", "5"])
    #expect(other.status == 73 && other.errors.contains("a_000.png: is another picture"))
    arguments[6] = "3"
    #expect(try run(arguments + ["--resume", "--force"]).status == 0)

    let long = ["generate", "-p", "a cat", "--steps", "200", "-o", "b.png", "--keep-every", "1"]
    #expect(try interrupt(long, when: "b.png.unfinished") == 130)
    let changed = try run(long + ["--resume", "--guidance-scale", "2"])
    #expect(changed.status == 73 && changed.errors.contains("b.png.unfinished: holds pictures of"))
    let new = try run(long)
    #expect(new.status == 73 && new.errors.contains("go on with --resume"))
    #expect(try run(long + ["--force", "--steps", "2"]).status == 0)
    #expect(names("b") == ["b.png"])
  }

  @Test("files that are not what they seem are refused, and nothing is lost")
  func hostile() throws {
    let command = ["generate", "-p", "a cat", "--steps", "200", "-o", "c.png", "--keep-every", "1"]
    #expect(try interrupt(command, when: "c.png.unfinished") == 130)
    let good = [UInt8](try bytes("c.png.unfinished"))
    func replaced(_ old: String, _ new: String) throws -> [UInt8] {
      var data = Data(good)
      let range = try #require(data.range(of: Data(old.utf8)))
      #expect(old.utf8.count == new.utf8.count)
      data.replaceSubrange(range, with: Data(new.utf8))
      return [UInt8](data)
    }
    let cases: [[UInt8]] = [
      [], Array("nonsense".utf8), Array(good.dropLast(40)), Array(good.prefix(good.count / 2)),
      try replaced("\"0.step\"", "\"0.stop\""), try replaced("\"F32\"", "\"I32\""),
      try replaced("unfinished pictures 1", "unfinished pictures 9"),
      try replaced("0.latents", "0.latentz"),
      Array(good.dropLast(4)) + [0, 0, 0xC0, 0x7F],
    ]
    for (index, bytes) in cases.enumerated() {
      try folder.write(bytes, to: "c.png.unfinished")
      let outcome = try run(command + ["--resume"])
      #expect(
        [64, 65, 66].contains(outcome.status) && !outcome.wasSignalled,
        "\(index): \(outcome.errors)")
      #expect(outcome.errorLines.count <= 3, "\(index): \(outcome.errors)")
      #expect([UInt8](try self.bytes("c.png.unfinished")) == bytes)
    }
  }

  @Test("--resume does not go with --save-latents; --keep-every 0 keeps nothing")
  func options() throws {
    let base = ["generate", "-p", "a cat", "--steps", "200", "-o", "d.png"]
    #expect(try run(base + ["--resume", "--save-latents", "l.safetensors"]).status == 64)
    #expect(try run(base + ["--keep-every", "-1"]).status == 64)
    #expect(
      try interrupt(
        base + ["--keep-every", "0", "--preview", "d-preview.png"],
        when: "d-preview.png") == 130)
    #expect(names("d").filter { $0 != "d-preview.png" }.isEmpty)
  }
}
