import BlockFormats
import Checkpoints
import Conversion
import ModelFiles
import TestSupport
import Testing

/// Models in types that can be read but not made.
@Suite struct DecodedTypesTests {
  private let fixture: ConversionFixture

  init() throws { fixture = try ConversionFixture() }

  @Test(
    "types that cannot be made are converted from, and copied on demand",
    arguments: [ElementType.iq2_xxs, .tq1_0, .mxfp4, .nvfp4, .q1_0])
  func convertFrom(_ type: ElementType) throws {
    let paths = try model(type)
    let before = try fixture.contents("model.gguf")
    let matrices = before.filter { $0.value.type == type }
    #expect(matrices.count > 20)

    try fixture.convert(paths, to: "f16.gguf", try ConversionFixture.request("f16"))
    try fixture.convert(
      paths, to: "kept.gguf", try ConversionFixture.request("q8_0", rules: ["layers=keep"]))
    let (halves, kept) = (try fixture.contents("f16.gguf"), try fixture.contents("kept.gguf"))
    for (name, old) in matrices {
      let half = try #require(halves[name])
      #expect(half.type == .f16 && half.shape == old.shape)
      #expect(half.values == old.values.map { Float(Float16($0)) }, "\(name)")
      #expect(kept[name] == old, "\(name)")
    }
  }

  /// The tiny model with random blocks in the place of each matrix of the layers.
  private func model(_ type: ElementType) throws -> ModelPaths {
    let source = try TensorArchive(path: try fixture.synthetic())
    let gguf = try #require(source.gguf)
    let tensors = try source.tensors.records.enumerated().map { index, record in
      let isMatrix = record.shape.count == 2 && record.name.contains("layers")
      return (
        declaration: TensorDeclaration(
          name: record.name, type: isMatrix ? type : record.type, shape: record.shape),
        bytes: isMatrix
          ? try randomBlocks(type, count: record.elementCount / type.elementsPerBlock)
          : try source.copy(of: index)
      )
    }
    let path = fixture.folder.path("model.gguf")
    let layout = try GGUFWriter.layout(
      metadata: gguf.metadata.filter { $0.key != TensorHashes.key }.map {
        ($0.key, .copy($0.value))
      },
      tensors: tensors.map(\.declaration), path: path)
    let writer = try TensorFileWriter(path: path, overwrite: true, layout: layout)
    for tensor in tensors { try tensor.bytes.withUnsafeBytes { try writer.write($0) } }
    try writer.finish()
    return ModelPaths(path)
  }

  /// Random blocks with scales whose values float16 can hold.
  private func randomBlocks(_ type: ElementType, count: Int) throws -> [UInt8] {
    var bytes = SeededWeights.values("decoded/\(type.name)", count: count * type.bytesPerBlock)
      .map { UInt8(($0 + 1) * 127.99) }
    for block in stride(from: 0, to: bytes.count, by: type.bytesPerBlock) {
      if type == .mxfp4 { bytes[block] = 120 | bytes[block] & 3 }
      for offset in type.scaleOffsets { bytes[block + offset + 1] &= 0x23 }
    }
    return bytes
  }
}
