import Checkpoints
import Compute
import ComputeCPU
import Foundation
import Machine
import ModelFiles
import StrictJSON
import TestSupport
import Testing
import TextToImage

@Suite("auraflow imatrix")
struct ImatrixCommandTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func run(_ arguments: String...) throws -> CommandLine.Outcome {
    try CommandLine.run(["imatrix"] + arguments, in: folder.url)
  }

  private func files() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  private func measure(
    _ name: String, threads: Int, memory: MemoryBudget = .max
  ) async throws -> [String: ColumnSquares] {
    let model = try SeededWeights.pipelineFolder(name)
    let pipeline = try Pipeline(
      ModelPaths(model: model.path), threadCount: threads, activations: .exact, memory: memory)
    let sums = ActivationSums()
    _ = try await pipeline.measureActivations(of: try GoldenRequest(name).request, into: sums)
    return sums.entries
  }

  @Test(
    "sums and rows of every linear layer are those of hooks on diffusers' modules",
    arguments: ["quantizable", "wide-negative", "tall-truncated"])
  func goldens(_ name: String) async throws {
    try expect(try await measure(name, threads: 2), equal: "imatrix/\(name).safetensors")
  }

  @Test(
    "of FLUX.1 too, whose fused matrices are several modules there and are multiplied in parts",
    arguments: ["dev/true-guidance", "schnell/tall", "quantizable/square"])
  func fusedGoldens(_ name: String) async throws {
    let parts = name.split(separator: "/").map(String.init)
    let row = try #require(try FluxRequest.all([parts[0]]).first { $0.name == parts[1] })
    let model = try SeededWeights.pipelineFolder(row.model, in: "flux-pipelines")
    let pipeline = try Pipeline(ModelPaths(model: model.path), activations: .exact)
    let sums = ActivationSums()
    _ = try await pipeline.measureActivations(
      of: try row.request(try Golden(row.goldenPath)), into: sums)
    try expect(
      sums.entries, equal: "imatrix/flux-\(row.model)-\(row.name).safetensors", atLeast: 40)
  }

  /// Checks sums and rows of all layers; where several layers are one weight of ours, of each.
  private func expect(
    _ entries: [String: ColumnSquares], equal goldenPath: String, atLeast count: Int = 41
  ) throws {
    let golden = try Golden(goldenPath)
    var seen: Set<String> = []
    for stored in golden.names where stored.hasSuffix(ImportanceMatrix.sumsEnding) {
      let layer = String(stored.dropLast(ImportanceMatrix.sumsEnding.count))
      let names = ImportanceMatrix.canonicalNames(layer)
      let ours = try #require(names.first { entries[$0] != nil }, "\(layer)")
      let entry = try #require(entries[ours], "\(ours)")
      let rows = try golden.floats(layer + ImportanceMatrix.countsEnding)[0]
      #expect(Float(entry.rows) == rows, "\(ours)")
      let error = relativeError(entry.squares.map { Float($0) }, try golden.floats(stored))
      #expect(error < Tolerance.activationSums, "\(ours): \(error)")
      seen.insert(ours)
    }
    #expect(seen.count >= count)
    #expect(Set(entries.keys) == seen)
  }

  @Test("sums are the same bits with any number of threads and any budget")
  func determinism() async throws {
    let one = try await measure("quantizable", threads: 1)
    let budget = MachineMemory.now.residentBytes + (64 << 20)
    for (threads, memory) in [(3, MemoryBudget.max), (2, .bytes(budget))] {
      let other = try await measure("quantizable", threads: threads, memory: memory)
      #expect(other.count == one.count)
      for (name, entry) in one {
        #expect(other[name]?.rows == entry.rows)
        #expect(other[name]?.squares == entry.squares, "\(name)")
      }
    }
  }

  @Test("the file holds the sums of all prompts, the same bytes with any number of threads")
  func file() async throws {
    let model = try SeededWeights.pipelineFolder("quantizable")
    try folder.write(Array("\u{FEFF}three boats\r\n\n  a cat \n".utf8), to: "prompts.txt")
    let options = ["-W", "28", "-H", "32", "--steps", "2", "-s", "5"]
    for threads in ["1", "2"] {
      let outcome = try CommandLine.run(
        [
          "imatrix", model.path, "--prompts", "prompts.txt", "-o", "\(threads).gguf", "-t", threads,
        ] + options, in: folder.url)
      #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
      #expect(outcome.output == "\(threads).gguf\n")
    }
    let bytes = try ["1", "2"].map {
      try Data(contentsOf: URL(fileURLWithPath: folder.path("\($0).gguf")))
    }
    #expect(bytes[0] == bytes[1])
    let pipeline = try Pipeline(path: model.path)
    let sums = ActivationSums()
    for (index, prompt) in ["three boats", "a cat"].enumerated() {
      var request = GenerationRequest(prompt: prompt)
      (request.width, request.height, request.steps) = (28, 32, 2)
      request.seed = 5 + UInt64(index)
      _ = try await pipeline.measureActivations(of: request, into: sums)
    }
    let matrix = try ImportanceMatrix(path: folder.path("1.gguf"))
    #expect(matrix.count == sums.entries.count && matrix.unknownNames.isEmpty)
    #expect(matrix.chunkCount == 2)
    for (name, entry) in sums.entries {
      let means = entry.squares.map { Float($0) / Float(entry.rows) }
      #expect(try matrix.importance(of: name, columns: means.count) == means, "\(name)")
    }
  }

  @Test("what llama.cpp's tools ask for is in the file")
  func metadata() throws {
    try folder.write(Array("a red apple\na green cat\n".utf8), to: "prompts.txt")
    #expect(try run("-f", "prompts.txt", "-o", "i.gguf", "--steps", "1").status == 0)
    let archive = try TensorArchive(path: folder.path("i.gguf"))
    let gguf = try #require(archive.gguf)
    #expect(gguf.value(for: "general.type")?.string == "imatrix")
    #expect(gguf.value(for: "imatrix.datasets")?.elements()?.map(\.string) == ["prompts.txt"])
    let size = try #require(gguf.value(for: "imatrix.chunk_size"))
    let count = try #require(gguf.value(for: "imatrix.chunk_count"))
    #expect(size.type == .uint32 && count.type == .uint32 && count.integer == 2)
    // The number of texts is what the tools get from the largest count.
    let largest = archive.tensors.records.indices.compactMap { index -> Float? in
      let record = archive.tensors.records[index]
      guard record.name.hasSuffix(".counts"), record.shape == [1, 1] else { return nil }
      return archive.contents(of: index).bytes.loadUnaligned(as: Float.self)
    }.max()
    #expect(Int(try #require(largest)) / (try #require(size.integer)) == 2)
  }

  @Test("wrong prompts and names are one line, before any work")
  func refusals() throws {
    try folder.write(Array("a cat\n".utf8), to: "prompts.txt")
    try folder.write(Array(" \n\r\n".utf8), to: "empty.txt")
    try folder.write([0x61, 0xFF, 0x0A], to: "binary.txt")
    try folder.write(
      Array("a cat\n".utf8) + [UInt8](repeating: 0x61, count: 70_000), to: "long.txt")
    try folder.write([1], to: "exists.gguf")
    let before = try files()
    for (prompts, output, status, text) in [
      ("missing.txt", "o.gguf", 66, "missing.txt"), ("empty.txt", "o.gguf", 65, "no prompt"),
      ("binary.txt", "o.gguf", 65, "UTF-8"), ("long.txt", "o.gguf", 64, "prompt 2"),
      ("prompts.txt", "exists.gguf", 73, "--force"), ("prompts.txt", "no/o.gguf", 73, "no/o.gguf"),
      (".", "o.gguf", 74, "directory"),
    ] as [(String, String, Int32, String)] {
      let outcome = try run("-f", prompts, "-o", output)
      #expect(outcome.status == status, "\(prompts) \(output): \(outcome.errors)")
      #expect(outcome.errorLines.count == 1 && outcome.errors.contains(text), "\(outcome.errors)")
      #expect(outcome.output.isEmpty)
    }
    let own = try run("-f", "prompts.txt", "-o", "prompts.txt", "--force")
    #expect(own.status == 73 && own.errors.contains("input"))
    #expect(try files() == before)
  }

  // MARK: Interruptions

  private func bytes(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.path(name)))
  }

  private func partials() throws -> [String] { try files().filter { $0.hasSuffix(".partial") } }

  /// Starts to measure and interrupts it when it is at some prompt.
  private func interrupt(_ arguments: [String], at prompt: Int) throws -> CommandLine.Outcome {
    let errors = folder.path("errors")
    try Data().write(to: URL(fileURLWithPath: errors))
    let process = try CommandLine.start(
      ["imatrix", "-v"] + arguments, in: folder.url, output: FileHandle.nullDevice,
      errors: try FileHandle(forWritingTo: URL(fileURLWithPath: errors)))
    func text() throws -> String { try String(contentsOfFile: errors, encoding: .utf8) }
    while process.isRunning, !(try text()).contains("prompt \(prompt)/") { usleep(1000) }
    process.interrupt()
    process.waitUntilExit()
    defer { unlink(errors) }
    return CommandLine.Outcome(
      status: process.terminationStatus, wasSignalled: process.terminationReason != .exit,
      output: "", errors: try text())
  }

  private func command(_ output: String, steps: Int = 4) -> [String] {
    ["-f", "p.txt", "-o", output, "--steps", "\(steps)"]
  }

  private func writePrompts(_ count: Int) throws {
    let lines = (0..<count).map { "apple number \($0)\n" }.joined()
    try folder.write(Array(lines.utf8), to: "p.txt")
  }

  @Test("the same command goes on after an interruption; the file is the same bytes")
  func goingOn() throws {
    try writePrompts(12)
    #expect(try CommandLine.run(["imatrix"] + command("whole.gguf"), in: folder.url).status == 0)
    try folder.write([7], to: "i.gguf")
    for prompt in [3, 8] {
      let outcome = try interrupt(command("i.gguf") + ["--force"], at: prompt)
      #expect(outcome.status == 130)
      #expect(outcome.errors.contains("the same command goes on from there"), "\(outcome.errors)")
      #expect(try bytes("i.gguf") == Data([7]) && partials().count == 1)
    }
    let last = try CommandLine.run(
      ["imatrix", "-v", "--force"] + command("i.gguf"), in: folder.url)
    #expect(last.status == 0 && last.errors.contains("note: going on after prompt "))
    #expect(!last.errors.contains("prompt 2/12"))
    #expect(try bytes("i.gguf") == bytes("whole.gguf"))
    #expect(try files() == ["i.gguf", "p.txt", "whole.gguf"])
  }

  @Test("what belongs to other settings is not used and stays; what is damaged is not used")
  func strangers() throws {
    try writePrompts(40)
    #expect(try interrupt(command("i.gguf"), at: 3).status == 130)
    let partial = try #require(try partials().first)
    let content = try bytes(partial)
    try writePrompts(2)
    let other = try CommandLine.run(["imatrix"] + command("i.gguf"), in: folder.url)
    #expect(other.status == 0)
    #expect(
      other.errors == "note: \(partial) is of another model, settings or prompts: it is not used, "
        + "and stays\n")
    #expect(try bytes(partial) == content && files() == ["i.gguf", partial, "p.txt"])

    try writePrompts(40)
    var damaged = content
    damaged[damaged.count - 100] ^= 1
    for bytes in [damaged, content.dropLast(9), Data(), Data([1, 2, 3])] {
      try folder.write([UInt8](bytes), to: partial)
      let outcome = try interrupt(command("i.gguf") + ["--force"], at: 1)
      #expect(
        outcome.errors.contains("it is not used: measuring begins anew"), "\(outcome.errors)")
    }
  }

  @Test("before the first prompt has ended there is nothing to keep")
  func earlyInterruption() throws {
    try writePrompts(2)
    let outcome = try interrupt(command("i.gguf", steps: 2000), at: 1)
    #expect(outcome.status == 130 && !outcome.errors.contains("kept"))
    #expect(try files() == ["p.txt"])
  }
}
