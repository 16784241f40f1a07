// Where ggml's k-quants keep codes.

extension UnsafeMutableRawPointer {
  @_transparent
  func store(byte: UInt8, at offset: Int) {
    storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
  }

  /// 64 codes in 32 bytes: the first half low, the second high.
  @_transparent
  func storeNibbles(_ codes: UnsafePointer<UInt8>, at offset: Int) {
    for half in 0..<2 {
      let low = codes.bytes16(16 &* half) & 15
      let high = codes.bytes16(32 &+ 16 &* half) &<< 4
      storeBytes(of: low | high, toByteOffset: offset &+ 16 &* half, as: SIMD16<UInt8>.self)
    }
  }

  /// The two lower bits of 256 codes in 64 bytes, four runs of 32 one above the other, twice.
  @_transparent
  func storePairs(_ codes: UnsafePointer<UInt8>, at offset: Int) {
    for half in 0..<2 {
      for part in 0..<2 {
        let first = codes + (128 &* half &+ 16 &* part)
        let low = first.bytes16(0) & 3 | (first.bytes16(32) & 3) &<< 2
        let high = (first.bytes16(64) & 3) &<< 4 | (first.bytes16(96) & 3) &<< 6
        storeBytes(
          of: low | high, toByteOffset: offset &+ 32 &* half &+ 16 &* part,
          as: SIMD16<UInt8>.self)
      }
    }
  }
}

extension UnsafePointer<UInt8> {
  @_transparent
  func bytes16(_ index: Int) -> SIMD16<UInt8> {
    UnsafeRawPointer(self).loadUnaligned(fromByteOffset: index, as: SIMD16<UInt8>.self)
  }
}
