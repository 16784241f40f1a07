import AuraFlowFamily
import BlockFormats
import Checkpoints
import Conversion
import Foundation
import Machine
import ModelFiles
import ModelSynthesis
import TestSupport
import Testing

/// Tensors of ours that folders store as several are joined, and divided again, row by row.
@Suite("Converting tensors that files store as several")
struct SharedRowsTests {
  typealias Contents = [String: ConversionFixture.StoredContent]

  private let fixture: ConversionFixture
  private let catalog = FamilyCatalog(AuraFlow.family, [Painter.family])

  init() throws { fixture = try ConversionFixture() }

  private func model(_ type: ElementType) throws -> SyntheticModel {
    try SyntheticModel(
      try #require(Painter.family.presets.last), of: Painter.family, in: catalog, type: type,
      seed: 5)
  }

  /// A denoiser's folder that the synthesizer made.
  private func synthesizedFolder(_ type: ElementType = .f16) throws -> String {
    _ = try model(type).writeFolder(
      to: fixture.folder.path("synthetic"), overwrite: true, on: ThreadPool(threadCount: 2)
    ) { _, _ in }
    return fixture.folder.path("synthetic/transformer")
  }

  private func plan(
    _ input: String, _ type: String, rules: [String] = [],
    container: ConversionPlan.Container = .gguf
  ) throws -> ConversionPlan {
    try ConversionPlan(
      try ConversionSource(
        .denoiser, paths: ModelPaths(transformer: input), hints: ArchitectureHints(), in: catalog),
      try ConversionFixture.request(type, rules: rules, container: container), path: "out")
  }

  /// Converts a denoiser and gives the new file's contents, or those of the folder's only file.
  @discardableResult
  private func convert(
    _ input: String, to name: String, _ type: String, rules: [String] = [],
    container: ConversionPlan.Container = .gguf, threads: Int = 2
  ) throws -> Contents {
    let path = fixture.folder.path(name)
    _ = try Converter.write(
      try plan(input, type, rules: rules, container: container), to: path, overwrite: true,
      options: ConversionOptions(), on: ThreadPool(threadCount: threads)
    ) { _, _ in }
    return try fixture.contents(
      container == .folder ? name + "/diffusion_pytorch_model.safetensors" : name)
  }

  /// The rows of some stored tensors, one after the other.
  private func joined(_ names: [String], of contents: Contents) throws -> [UInt8] {
    try names.flatMap { try #require(contents[$0], "\($0)").bytes }
  }

  private static let brush = ["to_q", "to_k", "to_v"].map { "painted.strokes.2.\($0)" }
  private static let wash = ["wet_q", "wet_k", "wet_v", "water"].map { "painted.strokes.2.\($0)" }

  @Test("a synthesized folder has the rows of the synthesized file")
  func synthesis() throws {
    _ = try synthesizedFolder(.f32)
    _ = try model(.f32).writeGGUF(
      to: fixture.folder.path("whole.gguf"), overwrite: true, on: ThreadPool(threadCount: 2)
    ) { _, _ in }
    let whole = try fixture.contents("whole.gguf")
    let stored = try fixture.contents("synthetic/transformer/diffusion_pytorch_model.safetensors")
    for ending in [".weight", ".bias"] {
      for (ours, theirs) in [("brush", Self.brush), ("wash", Self.wash)] {
        let expected = try #require(whole["strokes.2.\(ours)\(ending)"]).bytes
        #expect(try joined(theirs.map { $0 + ending }, of: stored) == expected)
      }
      let mix = try #require(whole["strokes.2.mix" + ending]).bytes
      let half = mix.count / 2
      #expect(
        try joined(["painted.strokes.2.mix" + ending], of: stored)
          == Array(mix[half...] + mix[..<half]))
    }
    #expect(stored["painted.strokes.2.water.weight"]?.shape == [256, 256])
    #expect(stored["painted.strokes.2.wet_q.bias"]?.shape == [64])
  }

  @Test("a folder becomes a file and the same folder again", arguments: [1, 3])
  func roundTrip(threads: Int) throws {
    let folder = try synthesizedFolder()
    let file = try convert(folder, to: "f16.gguf", "f16", threads: threads)
    let stored = try fixture.contents("synthetic/transformer/diffusion_pytorch_model.safetensors")
    let brush = try #require(file["strokes.2.brush.weight"])
    #expect(brush.type == .f16 && brush.shape == [768, 256])
    #expect(try joined(Self.brush.map { $0 + ".weight" }, of: stored) == brush.bytes)
    #expect(file["strokes.2.wash.bias"]?.shape == [448])
    let again = try convert(
      fixture.folder.path("f16.gguf"), to: "again", "f16", container: .folder, threads: threads)
    #expect(again == stored)
    // From folder to folder rows go from piece to piece.
    #expect(try convert(folder, to: "copy", "f16", container: .folder) == stored)
  }

  @Test(
    "what several tensors become is what the joined one becomes",
    arguments: ["q4_K_M", "q8_0", "bf16", "f32"])
  func types(_ type: String) throws {
    let folder = try synthesizedFolder()
    try convert(folder, to: "joined.gguf", "f16")
    let expected = try convert(fixture.folder.path("joined.gguf"), to: "a.gguf", type)
    #expect(try convert(folder, to: "b.gguf", type) == expected)
    #expect(try convert(folder, to: "c.gguf", type, threads: 1) == expected)
    #expect(expected["strokes.2.brush.weight"]?.shape == [768, 256])
    let same = try WeightComparison(on: ThreadPool(threadCount: 2)).differences(
      try source("synthetic/transformer"), try source("joined.gguf"))
    #expect(same.allSatisfy { $0.relativeError == 0 })
  }

  private func source(_ name: String) throws -> ConversionSource {
    try ConversionSource(
      .denoiser, paths: ModelPaths(transformer: fixture.folder.path(name)),
      hints: ArchitectureHints(), in: catalog)
  }

  @Test("rules and plans know the joined tensor; a folder's rules its parts too")
  func names() throws {
    let folder = try synthesizedFolder()
    let joined = try plan(folder, "q4_K", rules: ["strokes.2.brush=q6_K"])
    let brush = try #require(joined.tensors.first { $0.name == "strokes.2.brush.weight" })
    #expect(brush.type == .q6_K && brush.source.storedNames == Self.brush.map { $0 + ".weight" })
    #expect(brush.source.byteCount == 768 * 256 * 2)
    #expect(!joined.tensors.contains { $0.name.contains("to_q") })
    let divided = try plan(
      folder, "f16", rules: ["strokes.2.brush.weight=f32", "strokes.2.to_k.weight=bf16"],
      container: .folder)
    let types = Dictionary(uniqueKeysWithValues: divided.tensors.map { ($0.name, $0.type) })
    #expect(Self.brush.map { types[$0 + ".weight"] } == [.f32, .bf16, .f32])
    #expect(divided.sourceByteCount == joined.sourceByteCount)
  }

  /// Writes a denoiser under the folder's names as GGUF, some of its tensors as F32.
  private func divided(_ contents: Contents, asFloat32 names: Set<String> = []) throws -> String {
    var tensors: [(name: String, content: ConversionFixture.StoredContent)] = []
    for (name, rowOrders) in Painter.names.flatMap({ name in
      (name.contains("{i}") ? Array(0..<7) : [0]).map {
        name.replacing("{i}", with: "\($0)")
      }
    }).map({ ($0, Painter.network.inFolder($0)) }) {
      let content = try #require(contents[name], "\(name)")
      let rowBytes = content.bytes.count / content.shape[0]
      for (stored, rowOrder) in rowOrders {
        let rows = try #require(rowOrder.rows(of: content.shape[0]))
        tensors.append(
          (
            stored,
            ConversionFixture.StoredContent(
              type: content.type,
              shape: [rows.reduce(0) { $0 + $1.count }] + content.shape.dropFirst(),
              bytes: rows.flatMap {
                content.bytes[$0.lowerBound * rowBytes..<$0.upperBound * rowBytes]
              })
          ))
      }
    }
    tensors = tensors.map { name, content in
      (name, names.contains(name) ? content.asFloat32 : content)
    }
    let path = fixture.folder.path("divided.gguf")
    let layout = try GGUFWriter.layout(
      metadata: [("general.architecture", .string("painter"))],
      tensors: tensors.map {
        TensorDeclaration(name: $0.name, type: $0.content.type, shape: $0.content.shape)
      }, path: path)
    let writer = try TensorFileWriter(path: path, overwrite: true, layout: layout)
    for tensor in tensors { try tensor.content.bytes.withUnsafeBytes { try writer.write($0) } }
    try writer.finish()
    return path
  }

  @Test("quantized blocks of parts are joined as they are", arguments: ["q8_0", "q4_K"])
  func blocks(_ type: String) throws {
    let whole = try convert(try synthesizedFolder(), to: "whole.gguf", type)
    let path = try divided(whole)
    #expect(try convert(path, to: "again.gguf", type) == whole)
    #expect(try plan(path, type).tensors.allSatisfy(\.isCopied))
  }

  @Test("parts of several types become one, each from its own values")
  func mixedTypes() throws {
    let whole = try convert(try synthesizedFolder(), to: "whole.gguf", "q8_0")
    let value = "painted.strokes.2.to_v.weight"
    let path = try divided(whole, asFloat32: [value])
    let brush = try #require(
      try plan(path, "q8_0").tensors.first { $0.name == "strokes.2.brush.weight" })
    #expect(!brush.isCopied && brush.source.type == .f32 && brush.source.copiedType == nil)
    let expected = try #require(whole["strokes.2.brush.weight"]).values
    for wanted in ["f32", "f16"] {
      let name = "\(wanted).gguf"
      let found = try #require(
        try convert(path, to: name, wanted)["strokes.2.brush.weight"]
      ).values
      #expect(found == (wanted == "f32" ? expected : expected.map { Float(Float16($0)) }))
    }
    let kept = try plan(path, "q8_0", rules: ["brush=keep"])
    #expect(kept.tensors.first { $0.name == "strokes.2.brush.weight" }?.type == .f32)
  }

  @Test("each part has its own scales")
  func scales() throws {
    _ = try synthesizedFolder(.f32)
    var contents = try fixture.contents(
      "synthetic/transformer/diffusion_pytorch_model.safetensors")
    var expected: [Float] = []
    for (part, name) in Self.brush.enumerated() {
      // All numbers of F8_E4M3 but its two NaNs.
      let bytes = (0..<256 * 256).map { UInt8(truncatingIfNeeded: $0 % 127 + $0 % 2 * 128) }
      let content = ConversionFixture.StoredContent(
        type: .f8_e4m3, shape: [256, 256], bytes: bytes)
      contents[name + ".weight"] = content
      let scales = (0..<256).map { row in part == 0 ? 0.5 : part == 1 ? Float(row) / 64 : 1 }
      if part < 2 {
        let stored = part == 0 ? [scales[0]] : scales
        contents[name + ".weight_scale"] = ConversionFixture.StoredContent(
          type: .f32, shape: [stored.count, 1], bytes: stored.withUnsafeBytes { Array($0) })
      }
      expected += content.values.enumerated().map { scales[$0 / 256] * $1 }
    }
    let path = try fixture.write(contents.map { ($0.key, $0.value) }, to: "fp8.safetensors")
    let found = try convert(path, to: "f32.gguf", "f32")
    #expect(found["strokes.2.brush.weight"]?.values == expected)
    let divided = try convert(path, to: "divided", "f32", container: .folder)
    #expect(try Self.brush.flatMap { try #require(divided[$0 + ".weight"]).values } == expected)
    #expect(divided["painted.strokes.2.to_k.weight_scale"] == nil)
  }

  @Test("parts may lie in several shards")
  func shards() throws {
    let folder = try synthesizedFolder()
    let expected = try convert(folder, to: "one.gguf", "q4_K_M")
    let contents = try fixture.contents(
      "synthetic/transformer/diffusion_pytorch_model.safetensors")
    let (first, second) = ("a.safetensors", "b.safetensors")
    let isSecond = { (name: String) in name.contains("to_k") || name.contains("water") }
    let map = contents.keys.map { "\"\($0)\": \"\(isSecond($0) ? second : first)\"" }
    let index = try fixture.folder.write(
      Array("{\"weight_map\": {\(map.joined(separator: ", "))}}".utf8),
      to: "shards/diffusion_pytorch_model.safetensors.index.json")
    _ = try fixture.write(
      contents.filter { !isSecond($0.key) }.map { ($0.key, $0.value) }, to: "shards/" + first)
    _ = try fixture.write(
      contents.filter { isSecond($0.key) }.map { ($0.key, $0.value) }, to: "shards/" + second)
    #expect(try convert(index, to: "sharded.gguf", "q4_K_M") == expected)
    let stored = try convert(index, to: "copy", "f16", container: .folder)
    #expect(stored == contents)
  }

  @Test("weights that are not finite are told with the file and the place in the joined tensor")
  func notFinite() throws {
    _ = try synthesizedFolder(.f32)
    let name = "synthetic/transformer/diffusion_pytorch_model.safetensors"
    var contents = try fixture.contents(name)
    let key = contents["painted.strokes.2.to_k.weight"]
    var bytes = try #require(key).bytes
    bytes.replaceSubrange(8..<12, with: [0, 0, 0xC0, 0x7F])
    contents["painted.strokes.2.to_k.weight"] = ConversionFixture.StoredContent(
      type: .f32, shape: [256, 256], bytes: bytes)
    let path = try fixture.write(contents.map { ($0.key, $0.value) }, to: "nan.safetensors")
    let error = #expect(throws: ConversionError.self) { try convert(path, to: "n.gguf", "q8_0") }
    let text = error.map { "\($0)" } ?? ""
    #expect(text.contains("'strokes.2.brush.weight' holds NaN at index [256, 2]"), "\(text)")
  }

  @Test("inspection lists what is stored, and finds nothing strange in it")
  func inspection() throws {
    _ = try synthesizedFolder()
    let inspection = try ModelInspection(
      path: fixture.folder.path("synthetic"), in: catalog)
    #expect(inspection.faults.isEmpty && inspection.missing.isEmpty)
    #expect(inspection.strangers.isEmpty)
    let names = inspection.contents.flatMap { $0.archive.tensors.records.map(\.name) }
    #expect(Self.brush.allSatisfy { names.contains($0 + ".weight") })
    #expect(inspection.contents.flatMap(\.parts).allSatisfy { $0 != nil })
  }
}

extension ConversionFixture.StoredContent {
  /// The values as F32.
  fileprivate var asFloat32: ConversionFixture.StoredContent {
    ConversionFixture.StoredContent(
      type: .f32, shape: shape, bytes: values.withUnsafeBytes { Array($0) })
  }
}
