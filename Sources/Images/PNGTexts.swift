/// The texts of a PNG file, by keyword.
package enum PNGTexts {
  /// Most bytes of all texts together.
  private static let limit = 1 << 24

  /// Reads the texts that are not compressed: `tEXt` (Latin-1) and `iTXt` (UTF-8), as programs
  /// write how a picture was made.
  ///
  /// - Parameter file: the file.
  /// - Returns: text by keyword, the first of each; nil if the bytes are no PNG file. Chunks that
  ///   are cut short, compressed or beyond 16 MiB are left out.
  /// - SeeAlso: PNG specification 11.3.3.
  package static func read(_ file: [UInt8]) -> [String: String]? {
    guard file.starts(with: PNGChunks.signature) else { return nil }
    var texts: [String: String] = [:]
    var (start, total) = (PNGChunks.signature.count, 0)
    while file.count - start >= 12 {
      let length = Int(PNGChunks.number(file, at: start))
      guard length <= file.count - start - 12 else { break }
      let (type, content) = (
        PNGChunks.number(file, at: start + 4), file[start + 8..<start + 8 + length]
      )
      if type == PNGChunks.code("IEND") { break }
      if type == PNGChunks.code("tEXt") || type == PNGChunks.code("iTXt") {
        total += length
        guard total <= limit else { break }
        let found = type == PNGChunks.code("tEXt") ? latin(content) : international(content)
        if let found, texts[found.keyword] == nil { texts[found.keyword] = found.text }
      }
      start += 12 + length
    }
    return texts
  }

  private static func latin(_ bytes: ArraySlice<UInt8>) -> (keyword: String, text: String)? {
    guard let end = bytes.firstIndex(of: 0) else { return nil }
    func text(_ bytes: ArraySlice<UInt8>) -> String {
      var scalars = String.UnicodeScalarView()
      scalars.append(contentsOf: bytes.map { Unicode.Scalar($0) })
      return String(scalars)
    }
    return (text(bytes[..<end]), text(bytes[(end + 1)...]))
  }

  /// Keyword, compression, method, language and translated keyword stand before the text.
  private static func international(
    _ bytes: ArraySlice<UInt8>
  ) -> (keyword: String, text: String)? {
    guard let end = bytes.firstIndex(of: 0), bytes.endIndex - end > 3, bytes[end + 1] == 0,
      let language = bytes[(end + 3)...].firstIndex(of: 0),
      let translated = bytes[(language + 1)...].firstIndex(of: 0)
    else { return nil }
    return (
      String(decoding: bytes[..<end], as: UTF8.self),
      String(decoding: bytes[(translated + 1)...], as: UTF8.self)
    )
  }
}
