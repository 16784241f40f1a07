import BlockFormats
import Checkpoints
import Conversion
import Foundation
import ModelFiles
import TestSupport
import Testing

@Suite("Matrices that were rounded before")
struct FinishedTensorsTests {
  private let fixture: ConversionFixture
  private let model: ModelPaths
  private let name = "double_layers.0.attn.w1q.weight"

  init() throws {
    fixture = try ConversionFixture()
    model = ModelPaths(model: try fixture.synthetic())
  }

  /// A file of tensors without anything but zeros.
  private func zeros(_ tensors: [(String, ElementType, [Int])], to name: String) throws -> String {
    let path = fixture.folder.path(name)
    let layout = try GGUFWriter.layout(
      metadata: [],
      tensors: tensors.map { TensorDeclaration(name: $0.0, type: $0.1, shape: $0.2) }, path: path)
    let writer = try TensorFileWriter(path: path, overwrite: true, layout: layout)
    for (_, type, shape) in tensors {
      let count = try #require(type.byteCount(elements: shape.reduce(1, *)))
      try [UInt8](repeating: 0, count: count).withUnsafeBytes { try writer.write($0) }
    }
    try writer.finish()
    return path
  }

  /// Converts to Q4_K with finished tensors.
  private func convert(
    _ finished: FinishedTensors?, to name: String
  ) throws -> (outcomes: [TensorOutcome], contents: [String: ConversionFixture.StoredContent]) {
    var options = ConversionOptions()
    options.finished = finished
    let outcomes = try fixture.convert(
      model, to: name, try ConversionFixture.request("q4_K", preset: .pure), options: options)
    return (outcomes, try fixture.contents(name))
  }

  @Test("their blocks are taken as they are, the last file's, and their errors told")
  func taken() throws {
    let plain = try convert(nil, to: "plain.gguf")
    let request = try ConversionFixture.request("q4_K", preset: .pure)
    var best = ConversionOptions()
    best.quality = .best
    try fixture.convert(model, to: "best.gguf", request, options: best)
    let paths = [
      try zeros([(name, .q4_K, [256, 256])], to: "zeros.gguf"), fixture.folder.path("best.gguf"),
    ]
    let found = try convert(
      try FinishedTensors(paths: paths, productErrors: [name: 0.25]), to: "found.gguf")
    #expect(try found.contents == fixture.contents("best.gguf"))
    #expect(found.contents != plain.contents)
    let outcome = try #require(found.outcomes.first { $0.name == name })
    let before = try #require(plain.outcomes.first { $0.name == name })
    #expect(outcome.productError == 0.25 && before.productError == nil)
    // Measured against the weights, not taken on trust.
    let (error, other) = (try #require(outcome.relativeError), try #require(before.relativeError))
    #expect(error > 0 && error < other)
    let first = try convert(
      try FinishedTensors(paths: paths.reversed(), productErrors: [:]), to: "first.gguf")
    #expect(first.contents[name]?.bytes.allSatisfy { $0 == 0 } == true)
    #expect(first.outcomes.first { $0.name == name }?.relativeError == 1)
  }

  @Test("blocks of another type, shape or name are not")
  func others() throws {
    let plain = try convert(nil, to: "plain.gguf")
    for (index, tensor) in [
      (name, ElementType.q5_K, [256, 256]), (name, .f16, [256, 256]), (name, .q4_K, [128, 512]),
      (name, .q4_K, [512, 256]), (name, .q4_K, [1, 256, 256]), ("other.weight", .q4_K, [256, 256]),
    ].enumerated() {
      let path = try zeros([tensor], to: "zeros-\(index).gguf")
      let found = try convert(
        try FinishedTensors(paths: [path], productErrors: [name: 0.25]), to: "found-\(index).gguf")
      #expect(found.contents == plain.contents, "\(tensor)")
      #expect(found.outcomes.allSatisfy { $0.productError == nil }, "\(tensor)")
    }
  }

  @Test("files that are gone or damaged are told")
  func faults() throws {
    let whole = try zeros([(name, .q4_K, [256, 256])], to: "whole.gguf")
    let bytes = [UInt8](try fixture.bytes("whole.gguf"))
    let cut = try fixture.folder.write(Array(bytes.dropLast(100)), to: "cut.gguf")
    for path in [fixture.folder.path("missing.gguf"), cut] {
      let error = #expect(throws: ModelFileError.self) {
        _ = try FinishedTensors(paths: [whole, path], productErrors: [:])
      }
      #expect(error?.path == path)
    }
  }
}
