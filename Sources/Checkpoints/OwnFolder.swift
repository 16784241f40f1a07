import ModelFiles
import StrictJSON

/// Folders that this program made: only they may be replaced, since a slip of the finger could name
/// anybody's.
package enum OwnFolder {
  /// Says in a folder's index or configuration who made it (`_name_or_path`).
  package enum Maker: String, CaseIterable {
    case synthesize = "auraflow synthesize"
    case convert = "auraflow convert"
  }

  /// Something in a folder that this program does not write into such; nil if there is nothing.
  private static func stranger(
    in folder: String, depth: Int, _ catalog: FamilyCatalog
  ) -> String? {
    let folders = catalog.slots.map(\.key) + catalog.tokenizerFolders + ["scheduler"]
    let stems = Set(catalog.slots.map(\.weightsStem))
    let files = [
      "model_index.json", "config.json", "scheduler_config.json", "tokenizer.json",
      "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model", "spiece.model",
      "vocab.json", "merges.txt",
    ]
    for name in FileSystem.names(in: folder) {
      let path = FileSystem.join(folder, name)
      if depth == 0, folders.contains(name), FileSystem.isFolder(path) {
        if let inner = stranger(in: path, depth: 1, catalog) { return name + "/" + inner }
        continue
      }
      let isWeights = stems.contains { stem in
        name.hasPrefix(stem)
          && (name.hasSuffix(".safetensors") || name.hasSuffix(".safetensors.index.json"))
      }
      guard isWeights || files.contains(name), FileSystem.isFile(path) else { return name }
    }
    return nil
  }

  /// Whether a folder that is there may go.
  ///
  /// - Parameters:
  ///   - path: the folder.
  ///   - overwrite: whether the user allows it.
  ///   - catalog: families whose folders are written.
  /// - Returns: true.
  /// - Throws: `ModelFileError` if it may not.
  package static func mayReplace(
    _ path: String, _ overwrite: Bool, _ catalog: FamilyCatalog
  ) throws(ModelFileError) -> Bool {
    let makers = ["model_index.json", "config.json"].map { name in
      FileSystem.content(of: FileSystem.join(path, name)).flatMap { bytes in
        bytes.withUnsafeBytes { try? JSONValue(parsing: $0) }?["_name_or_path"]?.stringValue
      }
    }
    guard makers.contains(where: { $0.flatMap(Maker.init) != nil }) else {
      throw ModelFileError(
        path: path, kind: .unwritable,
        fault: "exists already and was not made by this program: name another folder or remove it")
    }
    if let stranger = stranger(in: path, depth: 0, catalog) {
      throw ModelFileError(
        path: path, kind: .unwritable,
        fault:
          "holds '\(stranger)', which this program did not write: name another folder, or remove it"
      )
    }
    guard overwrite else {
      throw ModelFileError(
        path: path, kind: .unwritable, fault: "exists already: pass --force to replace it")
    }
    return true
  }
}
