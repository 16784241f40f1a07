import ModelFiles
import Testing

@Suite struct XXHash64Tests {
  /// A known hash of the first bytes of the stream that xxHash checks itself with.
  struct Vector: Sendable {
    let length: Int
    let seed: UInt64
    let hash: UInt64
  }

  private static let prime32: UInt64 = 2_654_435_761

  /// From xxHash's own `tests/sanity_test_vectors.h` (XXH64).
  static let vectors = [
    Vector(length: 0, seed: 0, hash: 0xEF46_DB37_51D8_E999),
    Vector(length: 0, seed: prime32, hash: 0xAC75_FDA2_929B_17EF),
    Vector(length: 1, seed: 0, hash: 0xE934_A84A_DB05_2768),
    Vector(length: 1, seed: prime32, hash: 0x5014_6076_43A9_B4C3),
    Vector(length: 4, seed: 0, hash: 0x9136_A0DC_A574_57EE),
    Vector(length: 14, seed: 0, hash: 0x8282_DCC4_994E_35C8),
    Vector(length: 14, seed: prime32, hash: 0xC3BD_6BF6_3DEB_6DF0),
    Vector(length: 222, seed: 0, hash: 0xB641_AE8C_B691_C174),
    Vector(length: 222, seed: prime32, hash: 0x20CB_8AB7_AE10_C14A),
  ]

  /// The stream of bytes that the vectors are about.
  private func stream(_ count: Int) -> [UInt8] {
    var state = Self.prime32
    return (0..<count).map { _ in
      defer { state = state &* 11_400_714_785_074_694_797 }
      return UInt8(truncatingIfNeeded: state >> 56)
    }
  }

  @Test("The published vectors come out", arguments: vectors)
  func vectorsHold(_ vector: Vector) {
    stream(vector.length).withUnsafeBytes {
      #expect(XXHash64.hash($0, seed: vector.seed) == vector.hash)
    }
  }

  @Test("Pieces of any size give the hash of the whole", arguments: 1...67)
  func piecesAreJoined(_ size: Int) {
    let bytes = stream(222)
    bytes.withUnsafeBytes { bytes in
      var hash = XXHash64()
      for start in stride(from: 0, to: bytes.count, by: size) {
        hash.update(
          UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + size)]))
      }
      #expect(hash.value == 0xB641_AE8C_B691_C174)
    }
  }
}
