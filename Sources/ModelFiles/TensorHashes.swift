import StrictJSON

/// Hashes of the contents of a file's tensors, stored in its own metadata, so that `inspect
/// --verify` finds a single flipped bit years later.
///
/// Under `key`, GGUF files hold an array of uint64 in the order of the tensors; safetensors files a
/// text in `__metadata__`, 16 hexadecimal digits for each tensor in the order of the header. Each
/// is the XXH64 (seed 0) of a tensor's bytes as stored, without padding. Zero means that none was
/// recorded (a file that was written into a pipe).
///
/// A tool that changes tensors must drop the key: `convert` never copies it from its input.
package enum TensorHashes {
  /// The metadata key, in both formats.
  package static let key = "auraflow.tensor_hashes.xxh64"
  /// Digits of a hash in a text.
  static let digitCount = 16

  /// How hashes lie in a header.
  enum Encoding: Sendable {
    /// 8 bytes each, little-endian.
    case binary
    /// 16 hexadecimal digits each.
    case text
  }

  /// Room for hashes in a header, which is written before they are known.
  struct Place: Sendable {
    /// Bytes of the file before the first hash.
    let offset: Int
    let encoding: Encoding
  }

  /// The bytes of hashes in a header.
  static func encode(_ hashes: [UInt64], as encoding: Encoding) -> [UInt8] {
    switch encoding {
    case .binary: hashes.flatMap { hash in withUnsafeBytes(of: hash.littleEndian) { Array($0) } }
    case .text: hashes.flatMap { Array(text($0).utf8) }
    }
  }

  /// A hash as 16 hexadecimal digits.
  package static func text(_ hash: UInt64) -> String {
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: digitCount - digits.count) + digits
  }

  /// The hashes of a text of digits; nil if it is none.
  static func decode(_ text: String) -> [UInt64]? {
    let digits = Array(text.utf8)
    guard digits.count % digitCount == 0 else { return nil }
    var hashes: [UInt64] = []
    for start in stride(from: 0, to: digits.count, by: digitCount) {
      var hash: UInt64 = 0
      for digit in digits[start..<start + digitCount] {
        let value: UInt8
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
        default: return nil
        }
        hash = hash << 4 | UInt64(value)
      }
      hashes.append(hash)
    }
    return hashes
  }
}

extension GGUFFile {
  /// The hashes that the file holds of tensors, in their order; nil if it holds none.
  ///
  /// - Parameter count: tensors of this file, or of all files of a split one.
  /// - Returns: one hash for each.
  /// - Throws: `ModelFileError` if they are malformed or of another number of tensors.
  package func tensorHashes(count: Int) throws(ModelFileError) -> [UInt64]? {
    guard let value = value(for: TensorHashes.key) else { return nil }
    guard value.elementType == .uint64 else {
      throw file.malformed(
        "metadata '\(TensorHashes.key)' is of type \(value.elementType?.name ?? value.type.name), "
          + "expected an array of uint64")
    }
    // The count first: elements are many.
    try file.expectHashes(value.elementCount ?? 0, of: count)
    return value.elements()?.compactMap(\.unsigned)
  }
}

extension SafetensorsFile {
  /// The hashes that the file holds of its tensors, in their order; nil if it holds none.
  ///
  /// - Throws: `ModelFileError` if they are malformed or of another number of tensors.
  package func tensorHashes() throws(ModelFileError) -> [UInt64]? {
    guard let text = metadata.first(where: { ExactName($0.key) == ExactName(TensorHashes.key) })
    else { return nil }
    guard let hashes = TensorHashes.decode(text.value) else {
      throw file.malformed(
        "metadata '\(TensorHashes.key)' is not \(TensorHashes.digitCount) hexadecimal digits for "
          + "each tensor")
    }
    try file.expectHashes(hashes.count, of: tensors.records.count)
    return hashes
  }
}

extension MappedFile {
  fileprivate func expectHashes(_ found: Int, of tensors: Int) throws(ModelFileError) {
    guard found == tensors else {
      throw malformed(
        "metadata '\(TensorHashes.key)' has \(found) hashes for \(tensors) tensors: another tool "
          + "changed the file after it was written")
    }
  }
}
