import ModelFiles
import Tokenizers

/// Copies of tokenizers that the program keeps for models whose files carry none: checkpoints of
/// one file rarely have the vocabularies of all their text encoders.
///
/// They lie in `auraflow/tokenizers` of the user's data folder (`XDG_DATA_HOME`, by default
/// `~/.local/share`), each in a folder of its own.
package enum TokenizerStore {
  /// The folder of a kept tokenizer, whether or not it is there; nil if the user has no folder.
  static func path(of kept: TokenizerPlace.Kept) -> String? {
    let home = FileSystem.environmentPath("HOME").map { FileSystem.join($0, ".local/share") }
    // What is not absolute does not count, by the convention of these variables.
    let data = FileSystem.environmentPath("XDG_DATA_HOME").flatMap { $0.hasPrefix("/") ? $0 : nil }
    return (data ?? home).map { FileSystem.join($0, "auraflow/tokenizers/\(kept.name)") }
  }

  /// Keeps a copy of a tokenizer, unless there is one: as far as that works, since nobody asked for
  /// it.
  ///
  /// - Parameter tokenizer: one that the user named, with which a model was opened.
  /// - Returns: the new folder; nil if nothing was kept.
  package static func keep(_ tokenizer: SlotTokenizer) -> String? {
    guard let kept = tokenizer.place.kept, let path = path(of: kept),
      !FileSystem.exists(path),
      // Small models have tokenizers of their own, which would be wrong for others.
      let count = (try? Tokenizer(tokenizer.source))?.vocabularySize,
      kept.idCounts.contains(count)
    else { return nil }
    let files = files(of: tokenizer.source)
    guard !files.isEmpty, (try? write(files, to: path)) == true else { return nil }
    return path
  }

  /// Files to copy, under the names by which they are found again.
  private static func files(of source: TokenizerSource) -> [(name: String, bytes: [UInt8])] {
    func file(_ name: String, _ text: String) -> (name: String, bytes: [UInt8]) {
      (name, Array(text.utf8))
    }
    func files(_ companions: TokenizerSource.Companions) -> [(name: String, bytes: [UInt8])] {
      [
        companions.settings.map { file("tokenizer_config.json", $0.json.text(indentation: 2)) },
        companions.specialTokens.map {
          file("special_tokens_map.json", $0.json.text(indentation: 2))
        },
      ].compactMap { $0 }
    }
    switch source {
    case .json(let document, let companions):
      return [file("tokenizer.json", document.text)] + files(companions)
    case .merges(let merges, let vocabulary, let companions):
      return [("merges.txt", merges.bytes)]
        + [vocabulary.map { file("vocab.json", $0.text) }].compactMap { $0 } + files(companions)
    case .sentencePiece(let file): return [("spiece.model", Array(file.bytes))]
    case .embeddedSentencePiece(let bytes, _): return [("spiece.model", bytes)]
    // Its file is a model, not a tokenizer by itself.
    case .vocabulary: return []
    }
  }

  /// - Returns: whether the folder got its name; another process may have been faster.
  private static func write(
    _ files: [(name: String, bytes: [UInt8])], to path: String
  ) throws(ModelFileError) -> Bool {
    try FolderMaking.make(FileSystem.folder(of: path))
    let folder = try AtomicFolder(path: path, byteCount: files.reduce(0) { $0 + $1.bytes.count }) {
      false
    }
    for (name, bytes) in files {
      try AtomicFile.write(bytes, to: try folder.file(name), overwrite: false)
    }
    guard let rescued = try folder.commit() else { return true }
    FileSystem.removeTree(rescued.path)
    return false
  }
}
