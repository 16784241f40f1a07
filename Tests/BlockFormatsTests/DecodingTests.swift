import BlockFormats
import TestSupport
import Testing

/// Decodes elements that start `shift` bytes into a 16-byte aligned buffer.
func decode(_ type: ElementType, _ bytes: [UInt8], count: Int, shift: Int = 0) -> [Float] {
  let room = UnsafeMutableRawBufferPointer.allocate(
    byteCount: bytes.count + shift + 1, alignment: 16)
  defer { room.deallocate() }
  let source = UnsafeMutableRawBufferPointer(rebasing: room[shift..<shift + bytes.count])
  source.copyBytes(from: bytes)
  // One more value than is decoded shows writes past the end.
  var values = [Float](repeating: -12345, count: count + 1)
  if let base = source.baseAddress { type.decode(base, count: count, into: &values) }
  #expect(values.removeLast() == -12345, "\(type.name) writes past the end")
  return values
}

/// The first index where the bit patterns differ; any NaN equals any NaN.
func firstDifference(_ values: [Float], _ expected: [Float]) -> Int? {
  guard values.count == expected.count else { return min(values.count, expected.count) }
  return values.indices.first { index in
    let (value, reference) = (values[index], expected[index])
    return value.bitPattern != reference.bitPattern && !(value.isNaN && reference.isNaN)
  }
}

@Suite struct DecodingTests {
  static let blockTypes: [ElementType] = [
    .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_nl, .iq4_xs,
    .iq1_s, .iq1_m, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s, .tq1_0, .tq2_0, .q1_0, .q2_0,
    .mxfp4, .nvfp4,
  ]

  @Test(
    "Stored elements decode to the reference's bits, at any alignment",
    arguments: blockTypes + [.f16, .bf16])
  func elementsDecodeExactly(_ type: ElementType) throws {
    let golden = try Golden("block-formats/blocks.safetensors")
    let bytes = try golden.bytes("\(type.name).bytes")
    let expected = try golden.floats("\(type.name).values")
    #expect(type.byteCount(elements: expected.count) == bytes.count)
    for shift in 0..<4 {
      let values = decode(type, bytes, count: expected.count, shift: shift)
      #expect(firstDifference(values, expected) == nil, "\(type.name) at offset \(shift)")
    }
  }

  @Test("Blocks decode alone as they do in a row", arguments: blockTypes)
  func blocksAreIndependent(_ type: ElementType) throws {
    let golden = try Golden("block-formats/blocks.safetensors")
    let bytes = try golden.bytes("\(type.name).bytes")
    let expected = try golden.floats("\(type.name).values")
    let blocks = bytes.count / type.bytesPerBlock
    let values = (0..<blocks).reversed().map { block in
      decode(
        type, Array(bytes[block * type.bytesPerBlock..<(block + 1) * type.bytesPerBlock]),
        count: type.elementsPerBlock)
    }
    #expect(firstDifference(values.reversed().flatMap { $0 }, expected) == nil)
    #expect(decode(type, [], count: 0).isEmpty)
  }

  @Test(
    "All codes of the 8-bit floats decode to PyTorch's bits",
    arguments: [
      ElementType.f8_e4m3, .f8_e5m2,
    ])
  func smallFloatsDecodeExactly(_ type: ElementType) throws {
    let expected = try Golden("block-formats/blocks.safetensors").floats("\(type.name).values")
    let values = decode(type, (0...255).map { UInt8($0) }, count: 256)
    #expect(firstDifference(values, expected) == nil)
  }

  @Test("Plain numbers keep their values, unaligned too")
  func plainNumbersDecode() {
    func bytes<T>(_ numbers: [T]) -> [UInt8] { numbers.withUnsafeBytes { Array($0) } }
    let doubles: [Double] = [0.1, -1e300, 16_777_217, .nan, 1e-50, -0.0]
    let longs: [Int64] = [.min, .max, 16_777_217, -1, 0]
    let shorts: [Int16] = [.min, -1, 0, 1, .max]
    for shift in 0..<4 {
      #expect(
        firstDifference(
          decode(.f64, bytes(doubles), count: doubles.count, shift: shift),
          doubles.map { Float($0) }) == nil)
      #expect(
        decode(.i64, bytes(longs), count: longs.count, shift: shift) == longs.map { Float($0) })
      #expect(
        decode(.i32, bytes([Int32.min, 16_777_217, -5]), count: 3, shift: shift)
          == [-0x1p31, 16_777_216, -5])
      #expect(decode(.i16, bytes(shorts), count: 5, shift: shift) == shorts.map { Float($0) })
      #expect(
        decode(.i8, [0x80, 0xFF, 0, 1, 0x7F], count: 5, shift: shift) == [-128, -1, 0, 1, 127])
      let floats: [Float] = [
        0.1, -.infinity, Float(bitPattern: 0x7FA0_1234), .leastNonzeroMagnitude,
      ]
      let decoded = decode(.f32, bytes(floats), count: 4, shift: shift)
      #expect(decoded.map(\.bitPattern) == floats.map(\.bitPattern))
    }
  }

  @Test("Weight types are the decodable types that hold real numbers")
  func weightTypesAreDecodable() {
    #expect(ElementType.allCases.filter(\.isDecodable).count == 35)
    #expect(ElementType.allCases.allSatisfy { !$0.isWeightType || $0.isDecodable })
    #expect(
      ElementType.allCases.filter { $0.isDecodable && !$0.isWeightType } == [.i8, .i16, .i32, .i64])
    #expect(
      Set(ElementType.allCases.filter { $0.isWeightType && $0.isBlockQuantized })
        == Set(Self.blockTypes))
    // Of what GGUF files can hold, only types of intermediate results are not decoded.
    #expect(ElementType.ggufTypes.filter { !$0.isDecodable } == [.q8_1, .q8_K])
  }
}
