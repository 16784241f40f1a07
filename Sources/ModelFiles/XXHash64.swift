/// The hash XXH64 of a stream of bytes: finds every accidental damage, at the speed of memory. It
/// does not protect against forgery.
///
/// Format: `doc/xxhash_spec.md` of the xxHash project, version 0.2.0, section "XXH64 Algorithm".
package struct XXHash64 {
  private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
  private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
  private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
  private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
  private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5
  private static let stripe = 32

  private let seed: UInt64
  /// The four accumulators, one for each eight bytes of a stripe.
  private var a: UInt64
  private var b: UInt64
  private var c: UInt64
  private var d: UInt64
  /// Bytes that do not fill a stripe yet; `byteCount % 32` of them count.
  private var rest = [UInt8](repeating: 0, count: XXHash64.stripe)
  private var byteCount = 0

  package init(seed: UInt64 = 0) {
    self.seed = seed
    a = seed &+ Self.prime1 &+ Self.prime2
    b = seed &+ Self.prime2
    c = seed
    d = seed &- Self.prime1
  }

  /// The hash of bytes that lie together.
  package static func hash(_ bytes: UnsafeRawBufferPointer, seed: UInt64 = 0) -> UInt64 {
    var hash = XXHash64(seed: seed)
    hash.update(bytes)
    return hash.value
  }

  /// The hash of bytes in hexadecimal: a short name for them.
  package static func name(of bytes: [UInt8]) -> String {
    let digits = String(bytes.withUnsafeBytes { hash($0) }, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// A short name for a text of any length.
  package static func name(of text: String) -> String { name(of: Array(text.utf8)) }

  /// Appends bytes.
  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    var bytes = bytes
    let held = byteCount % Self.stripe
    byteCount += bytes.count
    if held > 0 {
      let count = min(Self.stripe - held, bytes.count)
      for index in 0..<count { rest[held + index] = bytes[index] }
      bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(count))
      guard held + count == Self.stripe else { return }
      let full = rest
      full.withUnsafeBytes { consume($0) }
    }
    let whole = bytes.count / Self.stripe * Self.stripe
    consume(UnsafeRawBufferPointer(rebasing: bytes.prefix(whole)))
    for index in whole..<bytes.count { rest[index - whole] = bytes[index] }
  }

  /// The hash of everything so far.
  package var value: UInt64 {
    var hash: UInt64
    if byteCount >= Self.stripe {
      hash =
        Self.rotate(a, 1) &+ Self.rotate(b, 7) &+ Self.rotate(c, 12) &+ Self.rotate(d, 18)
      for lane in [a, b, c, d] {
        hash = (hash ^ Self.round(0, lane)) &* Self.prime1 &+ Self.prime4
      }
    } else {
      hash = seed &+ Self.prime5
    }
    hash &+= UInt64(byteCount)
    return Self.mixed(absorbRest(into: hash))
  }

  // MARK: Steps

  /// Mixes whole stripes into the accumulators.
  private mutating func consume(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    // In registers: this is all the work.
    var (a, b, c, d) = (a, b, c, d)
    var offset = 0
    while offset < bytes.count {
      a = Self.round(a, Self.load(base, offset))
      b = Self.round(b, Self.load(base, offset &+ 8))
      c = Self.round(c, Self.load(base, offset &+ 16))
      d = Self.round(d, Self.load(base, offset &+ 24))
      offset &+= Self.stripe
    }
    (self.a, self.b, self.c, self.d) = (a, b, c, d)
  }

  /// Mixes the bytes after the last whole stripe.
  private func absorbRest(into start: UInt64) -> UInt64 {
    rest.withUnsafeBytes { rest in
      var hash = start
      var bytes = rest.prefix(byteCount % Self.stripe)
      while bytes.count >= 8 {
        let word = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        hash ^= Self.round(0, word)
        hash = Self.rotate(hash, 27) &* Self.prime1 &+ Self.prime4
        bytes = bytes.dropFirst(8)
      }
      if bytes.count >= 4 {
        let word = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
        hash ^= UInt64(word) &* Self.prime1
        hash = Self.rotate(hash, 23) &* Self.prime2 &+ Self.prime3
        bytes = bytes.dropFirst(4)
      }
      for byte in bytes {
        hash ^= UInt64(byte) &* Self.prime5
        hash = Self.rotate(hash, 11) &* Self.prime1
      }
      return hash
    }
  }

  /// Lets every bit of the hash depend on all others.
  private static func mixed(_ hash: UInt64) -> UInt64 {
    var hash = hash
    hash = (hash ^ hash >> 33) &* prime2
    hash = (hash ^ hash >> 29) &* prime3
    return hash ^ hash >> 32
  }

  @inline(__always)
  private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    rotate(lane &+ word &* prime2, 31) &* prime1
  }

  @inline(__always)
  private static func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 {
    value &<< count | value &>> (64 &- count)
  }

  @inline(__always)
  private static func load(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
    UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
