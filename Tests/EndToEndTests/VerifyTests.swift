import BlockFormats
import Checkpoints
import Foundation
import Machine
import ModelFiles
import StrictJSON
import TestSupport
import Testing

import TextToImage

@Suite("auraflow inspect --verify")
struct VerifyTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func run(_ arguments: String...) throws -> CommandLine.Outcome {
    try CommandLine.run(["inspect", "--verify"] + arguments, in: folder.url)
  }

  private func verify(
    _ path: String, hints: ArchitectureHints = ArchitectureHints()
  ) throws -> ModelVerification {
    try ModelVerification(path: path, hints: hints, on: ThreadPool(threadCount: 2))
  }

  /// Makes a small model with hashes.
  private func synthesize(_ type: String, _ name: String) throws -> String {
    let outcome = try CommandLine.run(
      ["synthesize", "--preset", "tiny", "--type", type, name], in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    return folder.path(name)
  }

  /// Replaces bytes of a file.
  private func patch(_ path: String, at offset: Int, _ bytes: [UInt8]) throws {
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    try handle.seek(toOffset: UInt64(offset))
    try handle.write(contentsOf: Data(bytes))
    try handle.close()
  }

  /// The first tensor of a type and size.
  private func tensor(
    of path: String, where matches: (TensorRecord) -> Bool
  ) throws -> TensorRecord {
    try #require(try TensorArchive(path: path).tensors.records.first(where: matches))
  }

  @Test(
    "sound models are sound",
    arguments: ["square", "wide-negative", "unicode-two-images", "one-step", "quantizable"])
  func soundFolders(_ name: String) throws {
    let model = try SeededWeights.pipelineFolder(name)
    let verification = try verify(model.path)
    #expect(verification.problems.isEmpty, "\(verification.problems.map(\.description))")
    #expect(verification.parts.count == 3 && verification.missing.isEmpty)
    #expect(verification.tensorCount > 40 && verification.hashCount == 0)
  }

  @Test("sound files are sound, of every block format, with their hashes")
  func soundFiles() throws {
    #expect(try verify(try ShippedModel.path()).problems.isEmpty)
    let hints = try SeededWeights.hints("quantizable")
    for name in [
      "transformer_Q8_0.gguf", "transformer_F16.gguf", "text_encoder_llamacpp_Q8_0.gguf",
    ] {
      let verification = try verify(Fixtures.path("checkpoints/\(name)"), hints: hints)
      #expect(verification.problems.isEmpty, "\(verification.problems.map(\.description))")
      #expect(verification.parts.count == 1 && verification.missing.count > 1)
    }
    let model = try synthesize("f16", "model/")
    let verification = try verify(model)
    #expect(verification.problems.isEmpty)
    #expect(verification.hashCount == verification.tensorCount)
  }

  /// The block formats that can be synthesized.
  static let blockTypes = ElementType.allCases.filter { $0.codeLayout != nil }

  @Test(
    "an infinite scale in a block of any format is named, and the hash differs",
    arguments: blockTypes)
  func scales(_ type: ElementType) throws {
    let path = try synthesize(type.name, "model.gguf")
    #expect(try verify(path).problems.isEmpty)
    let record = try tensor(of: path) { $0.type == type && $0.shape.count == 2 }
    let columns = try #require(record.shape.last)
    let block = record.byteCount / type.bytesPerBlock - 1
    for offset in type.scaleOffsets {
      let place = record.byteOffset + block * type.bytesPerBlock + offset
      let original = try Data(contentsOf: URL(fileURLWithPath: path))[place..<place + 2]
      // Minus infinity.
      try patch(path, at: place, [0x00, 0xFC])
      let problems = try verify(path).problems
      #expect(problems.map(\.tensor) == [record.name, record.name], "\(offset)")
      #expect(problems.allSatisfy { $0.severity == .error && $0.kind == .malformed })
      let text = problems.map(\.fault).joined(separator: "\n")
      #expect(text.contains("hash") && text.contains("in 1 blocks"), "\(text)")
      #expect(
        text.contains("row \(record.shape[0] - 1), columns \(columns - type.elementsPerBlock) to"),
        "\(text)")
      try patch(path, at: place, Array(original))
    }
    #expect(try verify(path).problems.isEmpty)
  }

  @Test("one flipped bit in any tensor is found by its hash", arguments: ["model.gguf", "model/"])
  func flippedBits(_ name: String) throws {
    let model = try synthesize(name.hasSuffix("/") ? "bf16" : "q4_K", name)
    let path =
      name.hasSuffix("/") ? model + "/transformer/diffusion_pytorch_model.safetensors" : model
    let records = try TensorArchive(path: path).tensors.records
    for index in stride(from: 0, to: records.count, by: records.count / 7) {
      let record = records[index]
      let place = record.byteOffset + record.byteCount / 2
      let byte = try Data(contentsOf: URL(fileURLWithPath: path))[place]
      try patch(path, at: place, [byte ^ 1])
      let problems = try verify(model).problems
      #expect(problems.map(\.tensor) == [record.name])
      #expect(problems.first?.fault.contains("copy or download the file again") == true)
      try patch(path, at: place, [byte])
    }
  }

  @Test("files that end early say by how much", arguments: [1, 1000, 2_345_678])
  func truncated(_ missing: Int) throws {
    let size: [Int: String] = [1: "1 bytes", 1000: "1.0 kB", 2_345_678: "2.3 MB"]
    let fault = try #require(size[missing])
    for name in ["a.gguf", "b.safetensors"] {
      let whole: [UInt8]
      if name == "a.gguf" {
        whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: try ShippedModel.path())))
        // Behind the last tensor there may be padding, which nobody misses.
        let end = try TensorArchive(path: try ShippedModel.path()).tensors.records.reduce(0) {
          max($0, $1.byteOffset + $1.byteCount)
        }
        try folder.write(Array(whole[..<(end - missing)]), to: name)
      } else {
        whole = SafetensorsWriter.encode([
          .init(
            name: "t", shape: [1 << 20], values: SeededWeights.values("truncated", count: 1 << 20))
        ])
        try folder.write(Array(whole.dropLast(missing)), to: name)
      }
      let outcome = try run(name)
      #expect(outcome.status == 65 && outcome.errorLines.count == 1)
      #expect(outcome.errors.contains("ends \(fault) early"), "\(outcome.errors)")
      #expect(outcome.errors.contains("download it again"))
    }
  }

  @Test("a value that is no number is found where it is")
  func notANumber() throws {
    let model = try SeededWeights.pipelineFolder("quantizable")
    let path = model.path("transformer/diffusion_pytorch_model.safetensors")
    let record = try tensor(of: path) { $0.shape.count == 2 && $0.shape[0] > 3 }
    let columns = record.shape[1]
    for (row, column, value) in [(3, 1, Float.nan), (3, 0, .infinity)] {
      let place = record.byteOffset + 4 * (row * columns + column)
      try patch(path, at: place, withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) })
    }
    let outcome = try run(model.path)
    #expect(outcome.status == 65 && outcome.errorLines.count == 1)
    #expect(
      outcome.errors.contains(
        "tensor '\(record.name)' has 2 NaN or infinite values of \(record.elementCount), the first "
          + "in row 3, column 0"), "\(outcome.errors)")
  }

  @Test(
    "every fault of names and shapes is reported at once",
    arguments: [TensorFault.dropped, .reshaped, .retyped, .shortened])
  func architecture(_ fault: TensorFault) throws {
    let model = try SeededWeights.pipelineFolder("quantizable")
    for (part, file) in [
      ("transformer", "diffusion_pytorch_model.safetensors"), ("text_encoder", "model.safetensors"),
    ] {
      let tensors = try SeededWeights.tensors(
        try Fixtures.json("pipelines/quantizable/\(part)/weights.json"))
      let last = try #require(tensors.lastIndex { fault.spoils($0) })
      try model.write(fault.encode(tensors, damaging: last), to: "\(part)/\(file)")
      let errors = try verify(model.path).errors
      #expect(errors.contains { $0.fault.contains("'\(tensors[last].name)'") }, "\(part)")
      #expect(errors.allSatisfy { $0.kind == .malformed })
    }
    let outcome = try run(model.path, "--json")
    #expect(outcome.status == 65)
    let json = try JSONValue(parsing: outcome.output)
    #expect(json["sound"]?.boolValue == false)
    let paths = Set((json["problems"]?.arrayValue ?? []).compactMap { $0["path"]?.stringValue })
    #expect(paths.count == 2, "\(outcome.output)")
  }

  @Test("missing shards and parts are named")
  func missingFiles() throws {
    let source = URL(fileURLWithPath: Fixtures.path("checkpoints/transformer_sharded"))
    let copy = folder.url.appendingPathComponent("sharded")
    try FileManager.default.copyItem(at: source, to: copy)
    let shard = try #require(
      try FileManager.default.contentsOfDirectory(atPath: copy.path).sorted().last {
        $0.hasSuffix(".safetensors")
      })
    try FileManager.default.removeItem(at: copy.appendingPathComponent(shard))
    let outcome = try run("sharded")
    #expect(outcome.status == 66 && outcome.errorLines.count == 1)
    #expect(
      outcome.errors.contains(shard) && outcome.errors.contains("download it too"),
      "\(outcome.errors)")

    let model = try SeededWeights.pipelineFolder("quantizable")
    try FileManager.default.removeItem(atPath: model.path("vae"))
    let folder = try run(model.path)
    #expect(folder.status == 66 && folder.errors.contains("has no VAE"), "\(folder.errors)")
  }

  @Test("tensors of no use and stray bytes are warnings")
  func strangers() throws {
    let model = try SeededWeights.pipelineFolder("quantizable")
    let file = "transformer/diffusion_pytorch_model.safetensors"
    let tensors = try SeededWeights.tensors(
      try Fixtures.json("pipelines/quantizable/transformer/weights.json"))
    let extra = [
      "surprise.weight", "single_transformer_blocks.7.attn.to_q.weight",
    ].map { SafetensorsWriter.FloatTensor(name: $0, shape: [1], values: [1]) }
    try model.write(SafetensorsWriter.encode(tensors + extra), to: file)
    let outcome = try run(model.path)
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    for tensor in extra {
      #expect(outcome.output.contains("'\(tensor.name)'"), "\(outcome.output)")
    }
    #expect(outcome.output.components(separatedBy: "warning: ").count == 3)

    let path = try synthesize("q8_0", "long.gguf")
    let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    try folder.write(bytes + [UInt8](repeating: 0, count: 5000), to: "long.gguf")
    let problems = try verify(path).problems
    #expect(problems.map(\.severity) == [.warning])
    #expect(problems.first?.fault.contains("5.0 kB after the last tensor") == true)
  }

  @Test("what is no model at all is one line")
  func nothing() throws {
    try folder.write([], to: "empty.gguf")
    for (path, status) in [("missing.gguf", 66), ("empty.gguf", 65)] as [(String, Int32)] {
      let outcome = try run(path, "--json")
      #expect(outcome.status == status && outcome.errorLines.count == 1)
      let json = try JSONValue(parsing: outcome.output)
      #expect(json["problems"]?.arrayValue?.count == 1)
    }
  }
}
