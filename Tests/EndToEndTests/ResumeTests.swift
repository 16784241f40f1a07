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

  private let steps = 40

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
      #expect(outcome.status == 65 && !outcome.wasSignalled, "\(index): \(outcome.errors)")
      #expect(outcome.errorLines.count == 1, "\(index): \(outcome.errors)")
      #expect(
        outcome.errors.contains("c.png.unfinished: holds no unfinished pictures"),
        "\(index): \(outcome.errors)")
      #expect([UInt8](try self.bytes("c.png.unfinished")) == bytes)
    }
  }

  @Test(
    "what was kept stays kept until it is finished, whatever goes together now",
    .disabled(if: Sanitizer.isActive, "a sanitizer takes more memory than the budget here"))
  func otherGroups() throws {
    let whole = try run(arguments("w_%d.png"))
    #expect(whole.status == 0, "\(whole.errors)")
    let kept = ["--keep-every", "1", "--resume"]
    let tight = ["--memory", "50MiB"]
    #expect(
      try interrupt(arguments("r_%d.png", kept + tight), when: "r_0.png.unfinished") == 130)
    #expect(
      try interrupt(arguments("r_%d.png", kept + ["--memory", "max"]), when: "r_1.png") == 130)
    let resumed = try run(arguments("r_%d.png", kept + tight))
    #expect(resumed.status == 0, "\(resumed.errors)")
    // The third and fourth are where the first run left them, or further.
    #expect(
      resumed.errors.contains("pictures are there, 2 go on")
        || resumed.errors.contains("pictures are there, 1 go on"), "\(resumed.errors)")
    for index in 0..<4 { #expect(try bytes("r_\(index).png") == bytes("w_\(index).png")) }
    #expect(names("r_").count == 4)
  }

  @Test(
    "an old file is neither lost nor left; inputs are never outputs; a cut picture is made again")
  func files() throws {
    let long = ["generate", "-p", "a cat", "--steps", "200", "-o", "e.png"]
    #expect(
      try interrupt(long + ["--keep-every", "1"], when: "e.png.unfinished", signal: SIGKILL)
        == SIGKILL)
    let short = ["generate", "-p", "a cat", "--steps", "2", "-o", "e.png"]
    // Nothing is kept, so nothing is in the way; and nothing of the other run is lost.
    #expect(try run(short + ["--keep-every", "0"]).status == 0)
    #expect(names("e.png") == ["e.png", "e.png.unfinished"])
    #expect(try run(short + ["--force"]).status == 0)
    #expect(names("e.png") == ["e.png"])

    let input = try run(["generate", "-f", "f.png.unfinished", "-o", "f.png", "--force"])
    #expect(input.status == 66)
    try folder.write(Array("a cat\n".utf8), to: "f.png.unfinished")
    let same = try run(["generate", "-f", "f.png.unfinished", "-o", "f.png", "--force"])
    #expect(
      same.status == 73 && same.errors.contains("is one of the input files"), "\(same.errors)")
    let way = try run(["generate", "-p", "a cat", "-o", "f.png"])
    #expect(way.status == 73 && way.errors.contains("is in the way"), "\(way.errors)")
    let two = try run(short + ["--force", "--stats", "e.png.unfinished"])
    #expect(two.status == 64 && two.errors.contains("two outputs"), "\(two.errors)")

    let good = try bytes("e.png")
    try folder.write([UInt8](good.prefix(good.count - 200)), to: "e.png")
    let again = try run(short + ["--resume", "--json"])
    #expect(again.status == 0, "\(again.errors)")
    #expect(try bytes("e.png") == good)
    let nothing = try run(short + ["--resume", "--json"])
    #expect(try JSONValue(parsing: nothing.output)["images"]?.arrayValue?.isEmpty == true)
    let device = try run(short.dropLast() + ["/dev/null", "--resume"])
    #expect(device.status == 0, "\(device.errors)")
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
