// Types without blocks: each element is a number of its own.

enum Float32Bits: ElementDecoder {
  static func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>
  ) {
    UnsafeMutableRawPointer(values).copyMemory(from: source, byteCount: count * 4)
  }

  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    anyAtLeast(UInt32(0x7F80_0000), bytes, count)
  }
}

enum Float64Bits: ElementDecoder {
  static func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>
  ) {
    decodeNumbers(source, as: Double.self, count, values) { Float($0) }
  }

  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    // What rounds to infinity in float32, in which everything is computed, counts too.
    anyAtLeast(UInt64(0x47EF_FFFF_F000_0000), bytes, count)
  }
}

extension Float16Bits: ElementDecoder {
  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    anyAtLeast(UInt16(0x7C00), bytes, count)
  }
}

extension BFloat16Bits: ElementDecoder {
  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    anyAtLeast(UInt16(0x7F80), bytes, count)
  }
}

enum Float8E4M3: ElementDecoder {
  static func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>
  ) {
    Float8.decode(source, count: count, table: Float8.e4m3Values, into: values)
  }

  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    // Has no infinities; only the very last number is a NaN.
    anyAtLeast(UInt8(0x7F), bytes, count)
  }
}

enum Float8E5M2: ElementDecoder {
  static func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>
  ) {
    Float8.decode(source, count: count, table: Float8.e5m2Values, into: values)
  }

  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool {
    anyAtLeast(UInt8(0x7C), bytes, count)
  }
}

/// Integers, which are not weights.
enum Integers<Number: FixedWidthInteger & BitwiseCopyable>: ElementDecoder {
  static var holdsWeights: Bool { false }

  static func decode(
    _ source: UnsafeRawPointer, count: Int, into values: UnsafeMutablePointer<Float>
  ) {
    decodeNumbers(source, as: Number.self, count, values) { Float($0) }
  }

  static func hasNonFinite(_ bytes: UnsafeRawPointer, blocks count: Int) -> Bool { false }
}

@inline(__always)
private func decodeNumbers<Number>(
  _ source: UnsafeRawPointer, as type: Number.Type, _ count: Int,
  _ values: UnsafeMutablePointer<Float>, _ convert: (Number) -> Float
) where Number: BitwiseCopyable {
  for index in 0..<count {
    values[index] = convert(
      source.loadUnaligned(fromByteOffset: index &* MemoryLayout<Number>.size, as: type))
  }
}

/// Whether any number's bits, but for the sign, are at least those of a limit. Their sum with
/// what the limit lacks carries into the sign then, and only then; so no comparison is needed.
@inline(__always)
private func anyAtLeast<Bits: FixedWidthInteger & UnsignedInteger>(
  _ limit: Bits, _ bytes: UnsafeRawPointer, _ count: Int
) -> Bool {
  let magnitude = Bits.max >> 1
  let rest = magnitude &- limit &+ 1
  var seen: Bits = 0
  for index in 0..<count {
    let bits = bytes.loadUnaligned(
      fromByteOffset: index &* MemoryLayout<Bits>.size, as: Bits.self)
    seen |= (bits & magnitude) &+ rest
  }
  return seen > magnitude
}
