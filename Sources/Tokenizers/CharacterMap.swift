/// How SentencePiece rewrites characters before it looks for pieces (`precompiled_charsmap`).
///
/// The file format: the size of a double-array trie in bytes, the trie, and the replacements, each
/// ended by a zero byte. The trie holds the characters to replace in UTF-8.
struct CharacterMap: Sendable {
  /// The double-array trie. A unit has the byte that leads to it, the offset of its children, and
  /// whether something ends there.
  private let units: [UInt32]
  private let texts: [UInt8]
  /// Length of the longest replacement in bytes.
  let longestReplacement: Int

  /// Checks a map.
  ///
  /// - Parameters:
  ///   - bytes: the content of the file's field.
  ///   - place: the field, for messages.
  /// - Throws: ``TokenizerError`` if it is malformed, or would make too much of a text.
  init(_ bytes: [UInt8], at place: String) throws(TokenizerError) {
    guard bytes.count >= 4 else {
      throw TokenizerError("\(place): expected a map of characters, found \(bytes.count) bytes")
    }
    let size = bytes.withUnsafeBytes {
      Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self)))
    }
    guard size >= 4, size.isMultiple(of: 4), size <= bytes.count - 4 else {
      throw TokenizerError("\(place): a trie of \(size) bytes in a map of \(bytes.count)")
    }
    units = bytes.withUnsafeBytes { bytes in
      (0..<size / 4).map {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 + 4 * $0, as: UInt32.self))
      }
    }
    texts = Array(bytes[(4 + size)...])
    guard String(validating: texts, as: UTF8.self) != nil else {
      throw TokenizerError("\(place): the replacements are not UTF-8")
    }
    let longest = texts.split(separator: 0).lazy.map(\.count).max() ?? 0
    guard longest <= TokenizerLimits.replacementLength else {
      throw .unsupported(
        "a replacement of \(longest) bytes (at most \(TokenizerLimits.replacementLength) are)",
        at: place)
    }
    longestReplacement = longest
  }

  /// The longest entry that a text has at a place, as SentencePiece applies the map.
  ///
  /// - Returns: bytes of the text, and what replaces them; nil if nothing does.
  func longestMatch(
    in text: [UInt8], at start: Int
  ) -> (length: Int, replacement: ArraySlice<UInt8>)? {
    var found: (length: Int, value: Int)?
    var node = offset(of: units[0])
    for index in start..<text.count {
      guard let (next, value) = child(of: node, byte: text[index]) else { break }
      node = next
      // An entry that ends inside a character is none.
      let isWhole = index + 1 == text.count || text[index + 1] & 0xC0 != 0x80
      if let value, isWhole { found = (index + 1 - start, value) }
    }
    guard let found, let replacement = replacement(found.value) else { return nil }
    return (found.length, replacement)
  }

  /// A text as the tokenizers library rewrites it.
  ///
  /// That library looks at whole grapheme clusters of up to five bytes, and takes the shortest
  /// entry with which one begins for all of it; longer clusters are rewritten scalar by scalar.
  func rewritten(_ text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    if text.allSatisfy({ $0 < 0x80 }) {
      rewriteASCII(text, into: &result)
      return result
    }
    for character in String(decoding: text, as: UTF8.self) {
      let cluster = Array(character.utf8)
      if cluster.count < 6, let replacement = shortestMatch(cluster[...]) {
        result.append(contentsOf: replacement)
        continue
      }
      var index = 0
      while index < cluster.count {
        let end = min(index + UTF8Scalars.length(startingWith: cluster[index]), cluster.count)
        let scalar = cluster[index..<end]
        result.append(contentsOf: shortestMatch(scalar) ?? scalar)
        index = end
      }
    }
    return result
  }

  /// The same for text in which only a carriage return with its line feed is a cluster of two.
  private func rewriteASCII(_ text: [UInt8], into result: inout [UInt8]) {
    var index = 0
    while index < text.count {
      let isLineEnd = text[index] == 0x0D && index + 1 < text.count && text[index + 1] == 0x0A
      let cluster = text[index..<index + (isLineEnd ? 2 : 1)]
      index = cluster.endIndex
      if let replacement = shortestMatch(cluster) {
        result.append(contentsOf: replacement)
      } else {
        for byte in cluster { result.append(contentsOf: shortestMatch([byte]) ?? [byte]) }
      }
    }
  }

  private func shortestMatch(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    var node = offset(of: units[0])
    for byte in text {
      guard byte != 0, let (next, value) = child(of: node, byte: byte) else { return nil }
      node = next
      if let value { return replacement(value) }
    }
    return nil
  }

  /// Follows a byte from a node, given by the offset of its children.
  ///
  /// - Returns: the offset of the next node's children, and the value of what ends there.
  private func child(of node: Int, byte: UInt8) -> (offset: Int, value: Int?)? {
    let index = node ^ Int(byte)
    guard index < units.count, units[index] & 0x8000_00FF == UInt32(byte) else { return nil }
    let next = index ^ offset(of: units[index])
    guard units[index] >> 8 & 1 == 1, next < units.count else { return (next, nil) }
    return (next, Int(units[next] & 0x7FFF_FFFF))
  }

  private func offset(of unit: UInt32) -> Int {
    Int((unit >> 10) << ((unit & 0x200) >> 6))
  }

  /// The text that starts at a place in `texts`; nil if none can.
  private func replacement(_ start: Int) -> ArraySlice<UInt8>? {
    guard start < texts.count, texts[start] & 0xC0 != 0x80 else { return nil }
    return texts[start...].prefix { $0 != 0 }
  }
}
