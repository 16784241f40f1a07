import ModelFiles

/// The names of an archive's tensors, each between line feeds, for searching.
struct TensorNameText {
  /// Names that are looked at: what a file is shows early, and in names of usual length.
  private static let lookedAt = 4096
  static let maximumNameLength = 256

  /// The tensors whose names are looked at.
  let records: ArraySlice<TensorRecord>
  private let text: [UInt8]

  init(_ archive: TensorArchive) {
    records = archive.tensors.records.prefix(Self.lookedAt)
    text =
      records.lazy.map(\.name).filter { $0.utf8.count <= Self.maximumNameLength }
      .flatMap { [UInt8(ascii: "\n")] + Array($0.utf8) } + [UInt8(ascii: "\n")]
  }

  /// Whether a text occurs in a name; beside a line feed at the beginning or end of one.
  func contain(_ mark: String) -> Bool {
    let mark = Array(mark.utf8)
    return text.withUnsafeBytes { text in
      var rest = text[...]
      while rest.count >= mark.count, let start = rest.firstIndex(of: mark[0]) {
        rest = rest[start...]
        if rest.starts(with: mark) { return true }
        rest = rest.dropFirst()
      }
      return false
    }
  }
}
