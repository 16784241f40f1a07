import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("interrupted auraflow convert --calibrate")
struct CalibrationInterruptionTests: ConvertSuite {
  let folder: TemporaryFolder

  init() throws {
    folder = try Self.makeFolder()
    try folder.write(Array("a red apple\na frog, white background\n".utf8), to: "p.txt")
    let outcome = try CommandLine.run(arguments("whole.gguf"), in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  private func arguments(_ output: String) -> [String] {
    [
      "convert", "in.gguf", output, "--type", "q4_K", "--calibrate", "p.txt",
      "--calibrate-points", "4", "--calibrate-side", "64", "-v",
    ]
  }

  /// Runs the program and sends it a signal some time after it has said something.
  private func interrupt(
    _ output: String, by signal: Int32, after message: String, milliseconds: UInt32
  ) throws -> CommandLine.Outcome {
    let path = folder.path("errors")
    try Data().write(to: URL(fileURLWithPath: path))
    let process = try CommandLine.start(
      arguments(output), in: folder.url, output: FileHandle.nullDevice,
      errors: try FileHandle(forWritingTo: URL(fileURLWithPath: path)))
    let deadline = Date(timeIntervalSinceNow: 30)
    while process.isRunning, Date() < deadline,
      try !String(contentsOfFile: path, encoding: .utf8).contains(message)
    {
      usleep(1000)
    }
    usleep(1000 * milliseconds)
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    let errors = try String(contentsOfFile: path, encoding: .utf8)
    try FileManager.default.removeItem(atPath: path)
    return CommandLine.Outcome(
      status: process.terminationStatus, wasSignalled: process.terminationReason != .exit,
      output: "", errors: errors)
  }

  @Test("a run that was killed or interrupted goes on, to the same bytes")
  func restarts() throws {
    let whole = try data("whole.gguf")
    // Verbose runs tell each layer that begins; before the first there are encoders and points.
    let stages = [
      (SIGKILL, "layer 0/0"), (SIGINT, "layer 0/3"), (SIGKILL, "layer 1/3"), (SIGTERM, "layer 2/3"),
      (SIGKILL, "layer 3/3"),
    ]
    var ends = 0
    for (signal, message) in stages {
      let outcome = try interrupt(
        "out.gguf", by: signal, after: message, milliseconds: .random(in: 0...40))
      if signal == SIGKILL {
        #expect(outcome.wasSignalled || outcome.status == 0, "\(outcome.errors)")
      } else {
        #expect([0, 128 + signal].contains(outcome.status), "\(outcome.errors)")
        #expect(!outcome.wasSignalled)
      }
      guard FileSystem.exists(folder.path("out.gguf")) else { continue }
      #expect(try data("out.gguf") == whole, "after \(signal)")
      try FileManager.default.removeItem(atPath: folder.path("out.gguf"))
      ends += 1
    }
    let last = try CommandLine.run(arguments("out.gguf"), in: folder.url)
    #expect(last.status == 0, "\(last.errors)")
    if ends == 0 { #expect(last.errors.contains("going on after 2 layers of 3"), "\(last.errors)") }
    #expect(try data("out.gguf") == whole)
    // Neither work nor files that were begun are left.
    #expect(try files() == ["in.gguf", "out.gguf", "p.txt", "whole.gguf"])
  }

  @Test("work that is not complete, and that of another run, is not gone on with")
  func missingWork() throws {
    _ = try interrupt("out.gguf", by: SIGKILL, after: "layer 3/3", milliseconds: 0)
    let work = folder.path("out.gguf.calibration")
    let names = try FileManager.default.contentsOfDirectory(atPath: work)
    for (index, part) in ["streams-", "-0-1.gguf", "state-"].enumerated() {
      let name = try #require(names.first { $0.contains(part) }, "\(names)")
      let copy = folder.path("work-\(index)")
      try FileManager.default.copyItem(atPath: work, toPath: copy)
      try FileManager.default.removeItem(atPath: copy + "/" + name)
      let outcome = try CommandLine.run(
        arguments("out-\(index).gguf") + ["--calibration-folder", copy], in: folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(try data("out-\(index).gguf") == data("whole.gguf"), "without \(name)")
      #expect(FileSystem.isEmptyFolder(copy))
    }
    // Two runs do not work on the same at once.
    let processes = try ["a.gguf", "b.gguf"].map {
      try CommandLine.start(
        arguments($0) + ["--calibration-folder", work], in: folder.url,
        output: FileHandle.nullDevice, errors: FileHandle.nullDevice)
    }
    for process in processes { process.waitUntilExit() }
    let ends = processes.map(\.terminationStatus)
    #expect(ends.contains(0) && ends.allSatisfy { [0, 73].contains($0) }, "\(ends)")
    for (end, name) in zip(ends, ["a.gguf", "b.gguf"]) where end == 0 {
      #expect(try data(name) == data("whole.gguf"), "\(name)")
    }
    #expect(FileSystem.isEmptyFolder(work))
  }
}
