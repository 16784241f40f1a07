import Foundation
import TestSupport
import Testing

@Suite("what auraflow convert --calibrate refuses")
struct CalibrationRefusalTests: ConvertSuite {
  let folder: TemporaryFolder

  init() throws {
    folder = try Self.makeFolder()
    try folder.write(Array("a red apple\n".utf8), to: "p.txt")
    try folder.write([], to: "empty.txt")
    try folder.write(Array("\n# nothing\n".utf8), to: "comment.txt")
  }

  /// Expects one clear line, and no new files.
  private func expectRefusal(
    _ arguments: [String], _ status: Int32, _ message: String, leaves: [String] = []
  ) throws {
    let outcome = try CommandLine.run(["convert", "in.gguf"] + arguments, in: folder.url)
    #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
    #expect(outcome.errors.contains(message), "\(arguments): \(outcome.errors)")
    #expect(outcome.errorLines.count { $0.hasPrefix("error: ") } == 1 && outcome.output.isEmpty)
    #expect(try files() == (["comment.txt", "empty.txt", "in.gguf", "p.txt"] + leaves).sorted())
  }

  @Test(
    "numbers and flags that make no sense",
    arguments: [
      (["--calibrate", "p.txt", "--calibrate-points", "0"], "outside of 1...4096"),
      (["--calibrate", "p.txt", "--calibrate-points", "4097"], "outside of 1...4096"),
      (["--calibrate", "p.txt", "--calibrate-side", "15"], "outside of 16...4096"),
      (["--calibrate", "p.txt", "--calibrate-side", "4097"], "outside of 16...4096"),
      (["--calibrate", ""], "names no file"),
      (["--calibrate", "p.txt", "--calibration-folder", ""], "names no folder"),
      (["--no-targets"], "are for --calibrate"), (["--calibrate-points", "8"], "are for --calib"),
      // Even if it is the usual number.
      (["--calibrate-points", "64"], "are for --calibrate"),
      (["--calibrate-side", "64"], "are for --calibrate"),
      (["--calibration-folder", "x"], "are for --calibrate"),
    ])
  func options(_ arguments: [String], _ message: String) throws {
    try expectRefusal(["a.gguf", "--type", "q4_K"] + arguments, 64, message)
  }

  @Test("containers that hold no blocks, and types and parts of which nothing is rounded")
  func targets() throws {
    let prompts = ["--calibrate", "p.txt"]
    for output in ["a/", "a.safetensors"] {
      try expectRefusal([output, "--type", "f16"] + prompts, 64, "--calibrate is for GGUF files")
    }
    for options in [["--type", "f16"], ["--type", "q4_K", "--part", "vae"]] {
      try expectRefusal(["a.gguf"] + options + prompts, 64, "--calibrate has nothing to do")
    }
  }

  @Test("prompts that are not there, and a file of prompts in the place of the model")
  func prompts() throws {
    let options = ["a.gguf", "--type", "q4_K", "--calibrate"]
    try expectRefusal(options + ["missing.txt"], 66, "missing.txt: ")
    for name in ["empty.txt", "comment.txt"] {
      try expectRefusal(options + [name], 65, "\(name): has no prompt")
    }
    let name = try folder.write(Array("a red apple\n".utf8), to: "p.gguf")
    let outcome = try run(
      "in.gguf", "p.gguf", "--type", "q4_K", "--calibrate", "p.gguf", "--force")
    #expect(outcome.status == 73 && outcome.errors.contains("one of the input files"))
    #expect(try String(contentsOfFile: name, encoding: .utf8) == "a red apple\n")
  }

  @Test("less memory than it takes")
  func memory() throws {
    let options = ["a.gguf", "--type", "q4_K", "--calibrate", "p.txt", "--calibrate-points", "2"]
    for (budget, message) in [("1MiB", "1.00 MiB may be used"), ("60MiB", "calibrating needs ")] {
      let outcome = try CommandLine.run(
        ["convert", "in.gguf"] + options + ["--memory", budget], in: folder.url)
      #expect(outcome.status == 71 && outcome.errors.contains(message), "\(outcome.errors)")
      #expect(outcome.errorLines.count == 1 && outcome.output.isEmpty)
      #expect(try !files().contains("a.gguf"))
    }
  }

  @Test("a work folder that cannot be, or that holds too little")
  func workFolder() throws {
    let options = ["a.gguf", "--type", "q4_K", "--calibrate", "p.txt", "--calibrate-points", "2"]
    for path in ["p.txt", "p.txt/x", "/proc/x"] {
      try expectRefusal(
        options + ["--calibration-folder", path], 73, "\(path): cannot create the folder")
    }
    // 512 kB a file, which is enough for the matrices of a text encoder.
    let full = try CommandLine.shell(
      "ulimit -f 1000; program=$1; shift; exec \"$program\" convert in.gguf \"$@\"", options,
      in: folder.url)
    #expect([73, 74].contains(full.status) && !full.wasSignalled, "\(full.errors)")
    #expect(full.errorLines.count == 1 && full.errors.contains(".scratch: cannot "))
    #expect(try !files().contains("a.gguf"))
  }
}
