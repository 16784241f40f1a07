import Foundation
import Images
import ModelFiles
import TestSupport
import Testing

/// Uses of the command line that must not cost data, time or a terminal.
@Suite("Hostile use of the command line")
struct HostileUseTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func run(_ arguments: [String]) throws -> CommandLine.Outcome {
    try CommandLine.run(arguments, in: folder.url)
  }

  /// Runs a shell line with the program as `$1` and the arguments after it.
  private func shell(_ line: String, _ arguments: [String]) throws -> Int32 {
    try CommandLine.shell(line, arguments, in: folder.url).status
  }

  @Test("an output that is an input is refused, even with --force and through a link")
  func inputAsOutput() throws {
    let model = try SeededWeights.pipelineFolder("quantizable")
    let weights = model.path("vae/diffusion_pytorch_model.safetensors")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("link.png"), withDestinationPath: weights)
    let before = try Data(contentsOf: URL(fileURLWithPath: weights))
    for output in [weights, "link.png"] {
      let outcome = try run(
        ["generate", "-m", model.path, "-p", "x", "--steps", "1", "-o", output, "--force"]
          + ["-W", "32", "-H", "32"])
      #expect(outcome.status == 73 && outcome.errors.contains("input"))
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: weights)) == before)
  }

  @Test("a pipe that nobody reads is an error, not a wait")
  func pipeWithoutReader() throws {
    #expect(mkfifo(folder.path("pipe"), 0o600) == 0)
    let outcome = try run(["generate", "-p", "x", "--steps", "1", "-o", "pipe"])
    #expect(outcome.status == 73 && outcome.errorLines.count == 1)
  }

  @Test("a picture on standard output is alone there", arguments: ["> a.png", "| cat > a.png"])
  func standardOutput(redirection: String) throws {
    for flags in ["", "--json"] {
      let line = "\"$1\" generate -p x --steps 1 -o /dev/stdout \(flags) \(redirection)"
      #expect(try shell(line, []) == 0)
      let bytes = [UInt8](try Data(contentsOf: folder.url.appendingPathComponent("a.png")))
      #expect(bytes.suffix(8).starts(with: "IEND".utf8))
      #expect(try RGBImage(pngData: bytes).width == 128)
    }
  }

  @Test("statistics that cannot be written are noticed before the work")
  func fullStatistics() throws {
    let outcome = try run(["generate", "-p", "x", "--stats", "/dev/full", "-o", "a.png"])
    #expect(outcome.status == 73 && outcome.errorLines.count == 1)
    #expect(!FileManager.default.fileExists(atPath: folder.path("a.png")))
  }

  @Test("statistics that fail at the end leave the picture")
  func lostStatistics() throws {
    #expect(mkfifo(folder.path("pipe"), 0o600) == 0)
    let outcome = try run(["generate", "-p", "x", "--steps", "1", "--stats", "pipe", "-o", "a.png"])
    #expect(outcome.status == 73 && outcome.errorLines.count == 1)
    #expect(FileManager.default.fileExists(atPath: folder.path("a.png")))
  }

  @Test("two names for one output are noticed before the work")
  func sameOutput() throws {
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("here"), withDestinationPath: folder.path)
    let outcome = try run(["generate", "-p", "x", "-o", "a.png", "--stats", "here/a.png"])
    #expect(outcome.status == 64 && outcome.errors.contains("two outputs"))
  }

  @Test("arguments are not echoed to the terminal as they are")
  func escapes() throws {
    for arguments in [["\u{1B}[31m"], ["inspect", "--\u{1B}[31m"]] {
      let outcome = try run(arguments)
      #expect(outcome.status == 64)
      #expect(!outcome.errors.utf8.contains(0x1B))
    }
  }

  @Test(
    "names of nothing but dots or escapes cost neither time nor memory to list",
    .disabled(if: Sanitizer.isActive, "a sanitizer reserves address space, which is limited here"))
  func costlyNames() throws {
    let dots = (0..<30_000).map { String(repeating: ".", count: 480) + "\($0).weight" }
    let escapes = (0..<250).map { "\($0)" + String(repeating: "\u{1B}", count: 65_000) }
    for (names, flags) in [(dots, ""), (escapes, "--json")] {
      try folder.write(MinimalGGUF(emptyTensors: names).bytes, to: "names.gguf")
      // Processor seconds, so that other tests beside this one do not count.
      let line = "ulimit -t 2; ulimit -v 700000; \"$1\" inspect names.gguf \(flags) > /dev/null"
      #expect(try shell(line, []) == 0)
    }
  }

  @Test("results that cannot be delivered are an error")
  func fullOutput() throws {
    #expect(try shell("\"$1\" inspect \"$2\" > /dev/full", [model()]) == 74)
  }

  @Test(
    "too small an address space is one line, not a hang", .timeLimit(.minutes(1)),
    .disabled(if: Sanitizer.isActive, "a sanitizer reserves address space, which is limited here"))
  func addressSpace() throws {
    let limited = "ulimit -v 700000; \"$1\""
    // OpenBLAS would ask for its buffers for ever.
    let shape = "--shapes 64x256 --rows 1 --types q4_0 --threads 8"
    #expect(try shell("\(limited) bench matmul \(shape)", []) == 71)
    #expect(try shell("\(limited) generate -m \"$2\" -p x --steps 1 -o a.png", [model()]) == 0)
  }

  @Test("sizes at the end of the integers are refused")
  func hugeSizes() throws {
    for flag in ["-W", "-H", "--steps", "-b", "--max-sequence-length"] {
      let outcome = try run(["generate", "-p", "x", flag, "\(Int.max)"])
      #expect(outcome.status == 64 && !outcome.wasSignalled)
    }
  }

  @Test("latents of a shape that overflows, a wrong type or with NaN are refused")
  func latents() throws {
    let huge = "4611686018427387904"
    let header = Array(
      "{\"latents\":{\"dtype\":\"F32\",\"shape\":[\(huge),\(huge),0],\"data_offsets\":[0,0]}}".utf8)
    let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) }
    try folder.write(length + header, to: "huge.safetensors")
    let values = [Float](repeating: .nan, count: 4 * 16 * 16)
    try folder.write(
      SafetensorsWriter.encode([.init(name: "latents", shape: [1, 4, 16, 16], values: values)]),
      to: "nan.safetensors")
    for (file, status) in [("huge.safetensors", 65), ("nan.safetensors", 64)] as [(String, Int32)] {
      let outcome = try run(["generate", "-p", "x", "--latents", file, "-o", "a.png"])
      #expect(outcome.status == status && outcome.errorLines.count == 1, "\(outcome.errors)")
    }
  }

  private func model() -> String {
    Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path
  }
}
