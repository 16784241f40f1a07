import BlockFormats
import KernelInterface
import Kernels
import KernelsPortable
import Quantization
import TestSupport
import Testing

/// The blocks of some rows.
func quantize(
  _ rows: [Float], columns: Int, as type: ElementType, quality: QuantizationQuality = .fast,
  importance: [Float]? = nil, kernels: KernelSet = KernelSelection.current
) throws -> [UInt8] {
  let quantizer = try #require(BlockQuantizer(type: type, quality: quality, kernels: kernels))
  let bytes = try #require(type.byteCount(elements: rows.count))
  // One more byte than is written shows writes past the end.
  var blocks = [UInt8](repeating: 0xA5, count: bytes + 1)
  rows.withUnsafeBufferPointer { rows in
    blocks.withUnsafeMutableBytes { blocks in
      if let importance {
        importance.withUnsafeBufferPointer {
          quantizer.quantize(rows, columns: columns, importance: $0, into: blocks)
        }
      } else {
        quantizer.quantize(rows, columns: columns, importance: nil, into: blocks)
      }
    }
  }
  #expect(blocks.removeLast() == 0xA5, "\(type.name) writes past the end")
  return blocks
}

@Suite struct BlockQuantizerTests {
  /// `[16, 768]`: ordinary, zero, constant, sparse, subnormal and huge rows.
  static let columns = 768
  static let rows: [Float] = {
    let values = SeededWeights.values("quantizer", count: 16 * columns)
    return values.enumerated().map { index, value in
      switch index / columns {
      case 0: 0
      case 1: 0.37
      case 2: -1000
      case 3: value > 0.8 ? value : 0
      case 4: value * 0x1p-130
      case 5: value * 0x1p-147
      case 6: value * 0x1p-20
      case 7: value * 30_000
      case 8: value * 0x1p60
      case 9: value * .greatestFiniteMagnitude
      case 10: index % 2 == 0 ? -0.0 : 0
      case 11: value.magnitude
      case 12: index % columns < 40 ? 0 : value
      case 13: value > 0 ? 0.25 : -0.25
      default: value
      }
    }
  }()

  static let importance: [Float] = SeededWeights.values("importance", count: columns)
    .enumerated().map { index, value in index < 300 ? 0 : value * value }

  /// A way of rounding to blocks.
  struct Variant: Sendable, CustomTestStringConvertible {
    let type: ElementType
    let quality: QuantizationQuality
    let isWeighted: Bool

    var importance: [Float]? { isWeighted ? BlockQuantizerTests.importance : nil }
    var testDescription: String {
      "\(type.name), \(quality)\(isWeighted ? ", weighted" : "")"
    }
  }

  /// Types of blocks, and both qualities, with and without an importance.
  static let variants: [Variant] = BlockQuantizer.types.filter(\.isBlockQuantized)
    .flatMap { type in
      QuantizationQuality.allCases.flatMap { quality in
        [false, true].map { Variant(type: type, quality: quality, isWeighted: $0) }
      }
    }

  @Test("What files can be converted to has a rounding", arguments: ElementType.allCases)
  func targetsHaveRoundings(_ type: ElementType) {
    #expect(KernelsPortable.hasRounding(type) == type.isConversionTarget)
  }

  @Test("Types without a quantizer are refused, the others are what rows can become")
  func onlyKnownTypes() {
    #expect(BlockQuantizer.types.count == 15)
    for type in ElementType.allCases {
      #expect((BlockQuantizer(type: type) != nil) == BlockQuantizer.types.contains(type))
    }
  }

  @Test(
    "Blocks are the reference's bytes",
    arguments: [ElementType.f16, .bf16, .q8_0, .q4_0, .q4_1, .q5_0, .q5_1])
  func blocksAreTheReferences(_ type: ElementType) throws {
    let golden = try Golden("quantization/blocks.safetensors")
    let values = try golden.floats("values")
    let expected = try golden.bytes("\(type.name).bytes")
    for kernels in KernelSelection.available {
      let blocks = try quantize(values, columns: 256, as: type, kernels: kernels)
      #expect(blocks.count == expected.count)
      let fault = zip(blocks, expected).enumerated().first { $1.0 != $1.1 }
      #expect(
        fault == nil, "\(type.name), \(kernels.name): block \((fault?.0 ?? 0) / type.bytesPerBlock)"
      )
    }
  }

  @Test("Plain numbers of every kind keep to their format")
  func plainNumbers() throws {
    let values: [Float] = [
      0, -0.0, 65504, 65519.99, 65520, -70000, .infinity, -.infinity, 0x1p-24, 0x1p-25, 0x1.8p-25,
      0x1.ff8p-15, 1 + 0x1p-11, 1 + 0x1.8p-10,
    ]
    let halves = try quantize(values, columns: values.count, as: .f16)
    let expected: [UInt16] = [
      0, 0x8000, 0x7BFF, 0x7BFF, 0x7C00, 0xFC00, 0x7C00, 0xFC00, 1, 0, 1, 0x03FF, 0x3C00, 0x3C02,
    ]
    #expect(halves == expected.flatMap { [UInt8($0 & 0xFF), UInt8($0 >> 8)] })
    let floats = try quantize(values + [.nan], columns: values.count + 1, as: .f32)
    #expect(floats == (values + [.nan]).flatMap { withUnsafeBytes(of: $0) { Array($0) } })
    for type in [ElementType.f16, .bf16] {
      let nans = (0..<16).map { Float(bitPattern: 0x7F80_0001 + UInt32($0) << 19) }
      let blocks = try quantize(nans, columns: 16, as: type)
      var decoded = [Float](repeating: 0, count: 16)
      blocks.withUnsafeBytes { bytes in
        if let base = bytes.baseAddress { type.decode(base, count: 16, into: &decoded) }
      }
      #expect(decoded.allSatisfy { $0.isNaN }, "\(type.name)")
    }
  }

  @Test("All kernels make the same blocks, and finite values finite ones", arguments: variants)
  func kernelsAgree(_ variant: Variant) throws {
    let (type, quality, importance) = (variant.type, variant.quality, variant.importance)
    let sets = KernelSelection.available
    let blocks = try sets.map {
      try quantize(
        Self.rows, columns: Self.columns, as: type, quality: quality, importance: importance,
        kernels: $0)
    }
    for (kernels, other) in zip(sets, blocks) {
      #expect(other == blocks[0], "\(kernels.name) differs from \(sets[0].name)")
    }
    let decoded = decode(blocks[0], type)
    #expect(decoded.allSatisfy { $0.isFinite })
    #expect(decoded[..<Self.columns].allSatisfy { $0 == 0 })
  }

  @Test("Rows are rounded apart from each other", arguments: variants)
  func rowsAreIndependent(_ variant: Variant) throws {
    let (type, quality, importance) = (variant.type, variant.quality, variant.importance)
    let together = try quantize(
      Self.rows, columns: Self.columns, as: type, quality: quality, importance: importance)
    let apart = try (0..<Self.rows.count / Self.columns).reversed().map { row in
      try quantize(
        Array(Self.rows[row * Self.columns..<(row + 1) * Self.columns]), columns: Self.columns,
        as: type, quality: quality, importance: importance)
    }
    #expect(together == apart.reversed().flatMap { $0 })
  }

  @Test(
    "A block with a value that is not finite decodes to NaN, the others as without",
    arguments: variants)
  func faultsStayInTheirBlock(_ variant: Variant) throws {
    let (type, quality, importance) = (variant.type, variant.quality, variant.importance)
    let row = Array(Self.rows[14 * Self.columns..<15 * Self.columns])
    let sound = try quantize(
      row, columns: Self.columns, as: type, quality: quality, importance: importance)
    for fault in [Float.nan, .infinity, -.infinity] {
      var faulty = row
      faulty[300] = fault
      let blocks = try quantize(
        faulty, columns: Self.columns, as: type, quality: quality, importance: importance)
      let values = decode(blocks, type)
      let first = 300 / type.elementsPerBlock * type.elementsPerBlock
      let block = first..<first + type.elementsPerBlock
      #expect(values[block].allSatisfy { $0.isNaN })
      #expect(values.indices.allSatisfy { block.contains($0) || values[$0].isFinite })
      // Blocks of 256 are rounded one by one; those of 32 are searched eight at a time, in a unit
      // that they share.
      if type.elementsPerBlock == 256 {
        let size = type.bytesPerBlock
        #expect(blocks[..<size] == sound[..<size] && blocks[(2 * size)...] == sound[(2 * size)...])
      }
    }
  }

  @Test("An importance that says nothing changes nothing", arguments: BlockQuantizer.types)
  func emptyImportance(_ type: ElementType) throws {
    let plain = try quantize(Self.rows, columns: Self.columns, as: type)
    for value in [0, .nan, -1, Float.infinity] {
      let importance = [Float](repeating: value, count: Self.columns)
      let blocks = try quantize(
        Self.rows, columns: Self.columns, as: type, importance: importance)
      #expect(blocks == plain, "\(type.name), all \(value)")
    }
  }

  @Test("No rows make no blocks")
  func noRows() throws {
    for type in BlockQuantizer.types {
      #expect(try quantize([], columns: 256, as: type).isEmpty)
    }
  }

  private func decode(_ blocks: [UInt8], _ type: ElementType) -> [Float] {
    let count = blocks.count / type.bytesPerBlock * type.elementsPerBlock
    var decoded = [Float](repeating: 0, count: count)
    blocks.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { type.decode(base, count: count, into: &decoded) }
    }
    return decoded
  }
}
