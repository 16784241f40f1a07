import BlockFormats
import Compute

/// Stored weights with random codes and small scales, for measuring speed.
package final class RandomBlocks: @unchecked Sendable {
  // Written by the initializer only.
  private let bytes: UnsafeMutableRawBufferPointer
  package let type: ElementType

  /// - Parameters:
  ///   - type: a type that can be dequantized.
  ///   - rows: rows of the weight.
  ///   - columns: whole blocks.
  ///   - seed: the same seed gives the same weights.
  package init(_ type: ElementType, rows: Int, columns: Int, seed: UInt64 = 1) {
    self.type = type
    let count = rows * (type.byteCount(elements: columns) ?? 0)
    var state = seed
    bytes = .allocate(byteCount: max(count, 1), alignment: 64)
    for index in 0..<count {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      bytes[index] = UInt8(truncatingIfNeeded: state >> 56)
    }
    let magnitudes = Self.magnitudes(type)
    for block in stride(from: 0, to: count, by: type.bytesPerBlock) {
      for (offset, kept, value) in magnitudes {
        bytes[block + offset] = bytes[block + offset] & kept | value
      }
    }
  }

  deinit { bytes.deallocate() }

  /// The bytes that decide about magnitudes: which of their bits stay random, and the others.
  ///
  /// Scales get values from 2⁻⁷ to 2⁻⁶, those that are not float16 numbers others of such sizes;
  /// the signs of plain floats stay as they are.
  private static func magnitudes(_ type: ElementType) -> [(offset: Int, kept: UInt8, value: UInt8)]
  {
    switch type {
    case .f16: [(1, 0x80, 0x28)]
    case .bf16: [(1, 0x80, 0x3D)]
    case .f32: [(3, 0x80, 0x3D)]
    case .f64: [(6, 0, 0x90), (7, 0x80, 0x3F)]
    case .f8_e4m3: [(0, 0x80, 0x18)]
    case .iq1_m: [(53, 0x3F, 0), (55, 0x0F, 0x20)]
    case .mxfp4: [(0, 3, 0x78)]
    case .nvfp4: (0..<4).map { ($0, 0x0F, 0x10) }
    default: type.scaleOffsets.map { ($0 + 1, 3, 0x20) }
    }
  }

  /// The stored bytes of one row.
  package func row(_ index: Int, byteCount: Int) -> [UInt8] {
    Array(bytes[index * byteCount..<(index + 1) * byteCount])
  }

  /// The weight as networks see it.
  package func matrix(rows: Int, columns: Int) -> WeightMatrix {
    let segments = bytes.baseAddress.map {
      let storage = ResidentStorage($0, byteCount: bytes.count, owner: self)
      return [WeightMatrix.Segment(storage: storage, type: type, rows: rows)]
    }
    return WeightMatrix(segments: segments ?? [], columns: columns)
  }
}
