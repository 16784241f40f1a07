import BlockFormats
import Checkpoints
import Compute
import Conversion
import Foundation
import Machine
import ModelFiles
import Quantization
import TestSupport
import Testing

@Suite("Converting")
struct ConverterTests {
  private let fixture: ConversionFixture

  init() throws { fixture = try ConversionFixture() }

  /// Root mean squared errors of normally distributed weights, relative to their size, as ggml's
  /// own quantizers leave them. Evenly distributed ones have smaller.
  private static let bounds: [(name: String, bound: Double)] = [
    ("f32", 0), ("f16", 0), ("bf16", 0.003), ("q8_0", 0.00533), ("q6_K", 0.0177),
    ("q5_K", 0.0362), ("q5_1", 0.0379), ("q5_0", 0.0427), ("q4_K", 0.0710), ("q4_1", 0.0778),
    ("q4_0", 0.0860), ("iq4_nl", 0.0860), ("iq4_xs", 0.0860), ("q3_K", 0.152), ("q2_K", 0.293),
  ].filter { type in
    TypeMix(named: type.0).map { BlockQuantizer.types.contains($0.base) } ?? false
  }

  @Test(
    "errors are what reading both files shows, and within each type's bounds", arguments: bounds)
  func errors(_ type: String, _ bound: Double) throws {
    let input = try fixture.synthetic()
    let outcomes = try fixture.convert(
      ModelPaths(input), to: "out.gguf", try ConversionFixture.request(type, preset: .pure))
    let before = try fixture.contents("synthetic-F16.gguf")
    let after = try fixture.contents("out.gguf")
    #expect(outcomes.count == before.count && after.count == before.count)
    let base = try #require(TypeMix(named: type)).base
    for outcome in outcomes {
      let (old, new) = (
        try #require(before[outcome.name]).values, try #require(after[outcome.name]).values
      )
      var (errors, squares) = (0.0, 0.0)
      for (old, new) in zip(old, new) {
        errors += Double(old - new) * Double(old - new)
        squares += Double(old) * Double(old)
      }
      let error = squares > 0 ? (errors / squares).squareRoot() : 0
      #expect(
        abs((outcome.relativeError ?? 1) - error) <= Tolerance.averagedError * error,
        "\(outcome.name)")
      #expect(outcome.relativeError ?? 1 <= (outcome.type == base ? bound : 0), "\(outcome.name)")
    }
    #expect(outcomes.contains { $0.type == base })
  }

  @Test("any number of threads gives the same bytes", arguments: ["q8_0", "q4_1", "bf16"])
  func threads(_ type: String) throws {
    let paths = ModelPaths(try fixture.synthetic())
    let request = try ConversionFixture.request(type)
    var outcomes: [[Double?]] = []
    for count in 1...3 {
      outcomes.append(
        try fixture.convert(paths, to: "\(count).gguf", request, threads: count)
          .map(\.relativeError))
    }
    #expect(try fixture.bytes("1.gguf") == fixture.bytes("2.gguf"))
    #expect(try fixture.bytes("1.gguf") == fixture.bytes("3.gguf"))
    #expect(outcomes[0] == outcomes[1] && outcomes[0] == outcomes[2])
  }

  @Test("blocks of the same type are copied, of others rounded anew with a note")
  func requantizing() throws {
    let paths = ModelPaths(try fixture.synthetic(.q4_K))
    // A K type that is only copied needs no quantizer.
    let copied = try ConversionFixture.request("q8_0", rules: ["w1|mod=keep"])
    let plan = try fixture.plan(paths, copied)
    #expect(plan.notes.contains { $0.contains("quantized already") })
    try fixture.convert(paths, to: "out.gguf", copied)
    let (before, after) = (
      try fixture.contents("synthetic-Q4_K.gguf"), try fixture.contents("out.gguf")
    )
    var counts = (copied: 0, rounded: 0)
    for (name, content) in after {
      let old = try #require(before[name])
      if old.type == content.type {
        #expect(old.bytes == content.bytes, "\(name)")
        counts.copied += old.type == .q4_K ? 1 : 0
      } else if content.type == .q8_0 {
        #expect(relativeError(content.values, old.values) < 0.005, "\(name)")
        counts.rounded += 1
      }
    }
    #expect(counts.copied > 10 && counts.rounded > 10)
    // The same once more changes nothing at all.
    try fixture.convert(
      ModelPaths(fixture.folder.path("out.gguf")), to: "again.gguf", copied)
    #expect(try fixture.bytes("out.gguf") == fixture.bytes("again.gguf"))
  }

  @Test("importance is asked for by our names and used")
  func importance() throws {
    let paths = ModelPaths(try fixture.synthetic())
    let request = try ConversionFixture.request("q4_0")
    try fixture.convert(paths, to: "plain.gguf", request)
    var options = ConversionOptions()
    options.importance = { name, columns throws(ModelFileError) in
      name == "single_layers.0.attn.w1q.weight"
        ? (0..<columns).map { $0 % 7 == 0 ? 100 : 0.01 } : nil
    }
    try fixture.convert(paths, to: "weighed.gguf", request, options: options)
    let (plain, weighed) = (
      try fixture.contents("plain.gguf"), try fixture.contents("weighed.gguf")
    )
    let changed = plain.keys.filter { plain[$0] != weighed[$0] }
    #expect(changed == ["single_layers.0.attn.w1q.weight"])
  }

  // MARK: Odd weights

  /// The tiny model as safetensors with one value of one tensor replaced.
  private func damaged(_ name: String, at index: Int, with value: Float) throws -> ModelPaths {
    try fixture.convert(
      ModelPaths(try fixture.synthetic()), to: "f32.gguf", try ConversionFixture.request("f32"),
      part: .transformer)
    let contents = try fixture.contents("f32.gguf")
    let tensors = contents.sorted { $0.key < $1.key }.map { key, content in
      var bytes = content.bytes
      if key == name {
        withUnsafeBytes(of: value.bitPattern.littleEndian) {
          bytes.replaceSubrange(4 * index..<4 * index + 4, with: $0)
        }
      }
      return (
        key, ConversionFixture.StoredContent(type: .f32, shape: content.shape, bytes: bytes)
      )
    }
    return ModelPaths(try fixture.write(tensors, to: "damaged.safetensors"))
  }

  @Test(
    "weights that are not finite are named with tensor and place, or kept on request",
    arguments: [Float.nan, .infinity, -.infinity], ["q4_0", "f32", "f16"])
  func notFinite(_ value: Float, _ type: String) throws {
    let name = "single_layers.1.mlp.c_proj.weight"
    let paths = try damaged(name, at: 3 * 768 + 700, with: value)
    let request = try ConversionFixture.request(type)
    let error = #expect(throws: ConversionError.self) {
      try fixture.convert(paths, to: "out.gguf", request, part: .transformer)
    }
    let message = error?.description ?? ""
    #expect(
      message.contains("'\(name)' holds \(value.isNaN ? "NaN" : "\(value)") at index [3, 700]"))
    #expect(!FileManager.default.fileExists(atPath: fixture.folder.path("out.gguf")))
    var options = ConversionOptions()
    options.allowsNotFinite = true
    let outcomes = try fixture.convert(
      paths, to: "out.gguf", request, part: .transformer, options: options)
    #expect(outcomes.filter { $0.notFiniteCount > 0 }.map(\.name) == [name])
    let values = try #require(try fixture.contents("out.gguf")[name]).values
    #expect(!values[3 * 768 + 700].isFinite && values[0].isFinite)
  }

  @Test("numbers that F16 cannot hold are refused for F16, not for BF16")
  func overflow() throws {
    let name = "double_layers.0.attn.w1k.weight"
    let paths = try damaged(name, at: 5, with: 70_000)
    let error = #expect(throws: ConversionError.self) {
      try fixture.convert(
        paths, to: "out.gguf", try ConversionFixture.request("f16"), part: .transformer)
    }
    #expect(error?.description.contains("more than F16 can hold") == true)
    for (type, rules) in [("bf16", []), ("f16", ["w1k=bf16"])] {
      try fixture.convert(
        paths, to: "\(type).gguf", try ConversionFixture.request(type, rules: rules),
        part: .transformer)
    }
  }

  @Test("fp8 weights are decoded, scaled ones with their scale")
  func float8() throws {
    try fixture.convert(
      ModelPaths(try fixture.synthetic()), to: "f32.gguf", try ConversionFixture.request("f32"),
      part: .transformer)
    var contents = try fixture.contents("f32.gguf")
    let codes = (0..<256 * 256).map { UInt8(truncatingIfNeeded: $0 &* 31 % 0x7E) }
    let shape = [256, 256]
    let scale = withUnsafeBytes(of: Float(0.25).bitPattern.littleEndian) { [UInt8]($0) }
    contents["single_layers.0.attn.w1k.weight"] = .init(
      type: .f8_e4m3, shape: shape, bytes: codes)
    contents["single_layers.0.attn.w1q.weight"] = .init(
      type: .f8_e4m3, shape: shape, bytes: codes)
    contents["single_layers.0.attn.w1q.scale_weight"] = .init(
      type: .f32, shape: [], bytes: scale)
    let path = try fixture.write(
      contents.sorted { $0.key < $1.key }.map { ("model.\($0.key)", $0.value) },
      to: "fp8.safetensors")
    try fixture.convert(
      ModelPaths(path), to: "out.gguf", try ConversionFixture.request("f32"), part: .transformer)
    let after = try fixture.contents("out.gguf")
    let plain = try #require(contents["single_layers.0.attn.w1k.weight"]).values
    #expect(after["single_layers.0.attn.w1k.weight"]?.values == plain)
    #expect(after["single_layers.0.attn.w1q.weight"]?.values == plain.map { $0 * 0.25 })
    // "keep" cannot keep what GGUF has no type for.
    let plan = try fixture.plan(
      ModelPaths(path), try ConversionFixture.request("q8_0", rules: ["w1k=keep"]),
      part: .transformer)
    let kept = try #require(plan.tensors.first { $0.name == "single_layers.0.attn.w1k.weight" })
    #expect(kept.type == .f16 && kept.reason == "GGUF has no F8_E4M3")
  }

  // MARK: Ends

  @Test("a cancelled conversion leaves nothing, and an old file as it was")
  func cancellation() throws {
    let path = try fixture.folder.write([7], to: "out.gguf")
    let plan = try fixture.plan(
      ModelPaths(try fixture.synthetic()), try ConversionFixture.request("f32"))
    let pool = ThreadPool(threadCount: 2)
    #expect(throws: ComputeError.cancelled) {
      _ = try Converter.write(
        plan, to: path, overwrite: true, options: ConversionOptions(), on: pool
      ) { done, all in if done > all / 2 { pool.cancel() } }
    }
    #expect(try fixture.bytes("out.gguf") == Data([7]))
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: fixture.folder.path).sorted()
        == ["out.gguf", "synthetic-F16.gguf"])
  }
}
