import StrictJSON

/// Reads little-endian values from a mapped file, in order, never past its end.
///
/// Pages that lie behind are given back as reading goes on, so walking over hundreds of megabytes
/// of metadata does not make them resident.
struct ByteReader {
  /// Bytes that are walked before the pages behind are given back.
  private static let releaseInterval = 8 << 20

  let file: MappedFile
  /// Offset of the next unread byte.
  private(set) var offset: Int
  private var released = 0

  init(_ file: MappedFile, at offset: Int = 0) {
    self.file = file
    self.offset = offset
  }

  var remaining: Int { file.bytes.count - offset }

  /// Moves over `count` bytes and returns where they begin.
  mutating func skip(_ count: UInt64, _ what: @autoclosure () -> String) throws(ModelFileError)
    -> Int
  {
    guard count <= UInt64(remaining) else {
      throw file.malformed(
        "\(what()) needs \(count) bytes at byte \(offset), only \(remaining) are left: "
          + "the file is damaged or cut short, download it again")
    }
    let start = offset
    offset += Int(count)
    if offset - released > Self.releaseInterval {
      file.release(released..<start)
      released = start
    }
    return start
  }

  mutating func read<Number: FixedWidthInteger>(
    _ type: Number.Type, _ what: @autoclosure () -> String
  ) throws(ModelFileError) -> Number {
    let start = try skip(UInt64(MemoryLayout<Number>.size), what())
    return Number(littleEndian: file.bytes.loadUnaligned(fromByteOffset: start, as: type))
  }

  /// Reads a GGUF string (64-bit length, then UTF-8) and returns the range of its text.
  mutating func readStringRange(_ what: @autoclosure () -> String) throws(ModelFileError)
    -> Range<Int>
  {
    let length = try read(UInt64.self, what())
    let start = try skip(length, what())
    guard isUTF8(start..<offset) else {
      throw file.malformed("\(what()) at byte \(start) is not valid UTF-8")
    }
    return start..<offset
  }

  /// Reads a short GGUF string such as a name.
  mutating func readName(limit: Int, _ what: @autoclosure () -> String) throws(ModelFileError)
    -> String
  {
    let length = try read(UInt64.self, what())
    guard length <= UInt64(limit) else {
      throw file.malformed(
        "\(what()) at byte \(offset) is \(length) bytes long, at most \(limit) are allowed")
    }
    let start = try skip(length, what())
    let slice = file.bytes[start..<offset]
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw file.malformed("\(what()) at byte \(start) is not valid UTF-8")
    }
    guard !text.isEmpty, !slice.contains(0) else {
      throw file.malformed("\(what()) at byte \(start) is empty or holds a zero byte")
    }
    return text
  }

  private static let validationPiece = 4 << 20

  /// Checks text piece by piece, so that a huge one does not become resident.
  private func isUTF8(_ range: Range<Int>) -> Bool {
    var start = range.lowerBound
    while start < range.upperBound {
      var end = min(range.upperBound, start + Self.validationPiece)
      // Not inside a character: at most three bytes of one can follow its first.
      while end < range.upperBound, end > start, file.bytes[end] & 0xC0 == 0x80 { end -= 1 }
      guard end > start,
        UnsafeRawBufferPointer(rebasing: file.bytes[start..<end]).isValidUTF8
      else { return false }
      if range.count > Self.validationPiece { file.release(start..<end) }
      start = end
    }
    return true
  }
}
