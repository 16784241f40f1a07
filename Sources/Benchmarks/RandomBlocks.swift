import BlockFormats
import Tensors

/// Stored weights with random codes and small scales, for measuring speed.
package final class RandomBlocks: @unchecked Sendable {
  // Written by the initializer only.
  private let bytes: UnsafeMutableRawBufferPointer
  package let type: ElementType

  /// - Parameters:
  ///   - type: a decodable type.
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
    for block in stride(from: 0, to: count, by: type.bytesPerBlock) {
      // The sign of a plain float stays as it is.
      for (offset, value) in Self.patches(type) {
        let isLast = offset == type.bytesPerBlock - 1
        bytes[block + offset] = isLast ? bytes[block + offset] & 0x80 | value : value
      }
      for offset in Self.scales(type) { bytes[block + offset] = bytes[block + offset] & 3 | 0x20 }
    }
  }

  deinit { bytes.deallocate() }

  /// The upper bytes of float16 scales, which get values from 2⁻⁷ to 2⁻⁶.
  private static func scales(_ type: ElementType) -> [Int] {
    switch type {
    case .q2_K: [81, 83]
    case .q3_K: [109]
    case .q6_K: [209]
    case .q4_1, .q5_1, .q4_K, .q5_K: [1, 3]
    case .q4_0, .q5_0, .q8_0, .iq4_nl, .iq4_xs: [1]
    default: []
    }
  }

  /// The bytes that decide about the magnitude of plain floats.
  private static func patches(_ type: ElementType) -> [(offset: Int, value: UInt8)] {
    switch type {
    case .f16: [(1, 0x28)]
    case .bf16: [(1, 0x3D)]
    case .f32: [(3, 0x3D)]
    case .f64: [(6, 0x90), (7, 0x3F)]
    case .f8_e4m3: [(0, 0x18)]
    default: []
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
