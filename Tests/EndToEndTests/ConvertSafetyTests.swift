import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("what auraflow convert refuses and keeps")
struct ConvertSafetyTests: ConvertSuite {
  let folder: TemporaryFolder

  init() throws { folder = try Self.makeFolder() }

  @Test("files that were named are not replaced, nor files in named folders, read or not")
  func namedFiles() throws {
    #expect(try run("in.gguf", "part.gguf", "--type", "f16", "--part", "transformer").status == 0)
    try Self.synthesize("model/", in: folder)
    let shard = "model/transformer/diffusion_pytorch_model.safetensors"
    let before = [try data("part.gguf"), try data(shard)]
    let part = try run(
      "in.gguf", "part.gguf", "--type", "q8_0", "--transformer", "part.gguf", "--force")
    #expect(part.status == 73 && part.errors.contains("one of the input files"), "\(part.errors)")
    let inner = try run("model", shard, "--type", "f16", "--part", "vae", "--force")
    #expect(inner.status == 73 && inner.errors.contains("one of the input files"))
    #expect([try data("part.gguf"), try data(shard)] == before)
  }

  @Test("flags that would be ignored are refused")
  func uselessFlags() throws {
    for (arguments, fragment) in [
      (["convert", "in.gguf", "a.gguf", "--type", "q4_K_M", "--preset", "pure"], "makes no mix"),
      (
        ["convert", "in.gguf", "a.gguf", "--type", "f16", "--part", "vae", "--transformer", "x"],
        "no use with --part vae"
      ),
      (["inspect", "in.gguf", "--head-dimension", "3"], "for --verify"),
    ] {
      let outcome = try CommandLine.run(arguments, in: folder.url)
      #expect(outcome.status == 64 && outcome.errors.contains(fragment), "\(outcome.errors)")
    }
  }

  @Test(
    "weights beyond what scales can hold are refused by name, not clipped",
    arguments: ["q8_0", "q4_0", "q4_K", "iq4_nl", "f16"])
  func overflow(_ type: String) throws {
    #expect(try run("in.gguf", "big.gguf", "--type", "f32").status == 0)
    var bytes = [UInt8](try data("big.gguf"))
    let record = try #require(
      try TensorArchive(path: folder.path("big.gguf")).tensors.records.first {
        $0.name.hasSuffix("w1q.weight")
      })
    withUnsafeBytes(of: Float(1e12).bitPattern.littleEndian) {
      bytes.replaceSubrange(record.byteOffset + 400..<record.byteOffset + 404, with: $0)
    }
    try folder.write(bytes, to: "big.gguf")
    let outcome = try run("big.gguf", "a.gguf", "--type", type, "--no-measure")
    #expect(outcome.status == 65, "\(outcome.errors)")
    #expect(outcome.errors.contains("'\(record.name)' holds 1e+12 at index [0, 100]"))
    #expect(!FileManager.default.fileExists(atPath: folder.path("a.gguf")))
  }

  @Test("a replaced file keeps its permissions")
  func permissions() throws {
    let path = try folder.write([1, 2, 3], to: "a.gguf")
    #expect(chmod(path, 0o600) == 0)
    #expect(try run("in.gguf", "a.gguf", "--type", "q8_0", "--force").status == 0)
    var status = stat()
    #expect(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
  }

  @Test("safetensors come with a note of what they cannot tell; vectors stay F32 under any rule")
  func notes() throws {
    let outcome = try run("in.gguf", "a.safetensors", "--type", "f16", "--part", "vae")
    #expect(
      outcome.status == 0 && outcome.errors.contains("--vae-norm-groups 8"), "\(outcome.errors)")
    #expect(try run("in.gguf", "b.gguf", "--type", "q8_0", "--rule", ".*=q4_0").status == 0)
    let records = try TensorArchive(path: folder.path("b.gguf")).tensors.records
    #expect(records.filter { $0.shape.count == 1 }.allSatisfy { $0.type == .f32 })
  }

  @Test("--dry-run with a name refuses what the conversion would refuse")
  func dryRunRefusals() throws {
    let outcome = try run("in.gguf", "in.gguf", "--type", "q8_0", "--dry-run", "--force")
    #expect(outcome.status == 73 && outcome.errors.contains("one of the input files"))
    #expect(try run("in.gguf", "new.gguf", "--type", "q8_0", "--dry-run").status == 0)
  }

  @Test(
    "choices that change nothing are told",
    arguments: [
      (["--type", "f16", "--quality", "best"], "--quality best changes nothing"),
      (["--type", "q8_0", "--quality", "best"], "--quality best changes nothing"),
      (["--type", "f16", "--preset", "compact"], "--preset compact changes nothing"),
      (["--type", "q8_0", "--preset", "careful"], "--preset careful changes nothing"),
    ])
  func idleChoices(_ arguments: [String], _ note: String) throws {
    let outcome = try CommandLine.run(
      ["convert", "in.gguf", "--dry-run"] + arguments, in: folder.url)
    #expect(outcome.status == 0 && outcome.errors.contains(note), "\(outcome.errors)")
  }

  @Test(
    "choices that matter are not remarked on",
    arguments: [
      ["--type", "q4_K", "--quality", "best"], ["--type", "q8_0", "--preset", "compact"],
      ["--type", "q4_0", "--preset", "careful"],
    ])
  func usefulChoices(_ arguments: [String]) throws {
    let outcome = try CommandLine.run(
      ["convert", "in.gguf", "--dry-run"] + arguments, in: folder.url)
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
  }
}
