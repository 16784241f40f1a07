import ModelFiles

/// Finding files in the folders that tools make.
enum ModelFolder {
  static func isFolder(_ path: String) -> Bool { FileSystem.isFolder(path) }

  static func join(_ folder: String, _ name: String) -> String { FileSystem.join(folder, name) }

  /// The folder that a file lies in.
  static func folder(of path: String) -> String { FileSystem.folder(of: path) }

  /// The error about a folder without weights.
  static func noWeights(in folder: String) -> ModelFileError {
    ModelFileError(
      path: folder, kind: .notFound,
      fault: (["has no safetensors or GGUF weights"] + hints(in: folder)).joined(separator: "; "))
  }

  /// Endings that programs give to downloads which have not ended.
  private static let unfinished = [
    ".part", ".partial", ".crdownload", ".download", ".incomplete", ".aria2",
  ]
  /// Endings of PyTorch's pickles.
  private static let pickles = [".bin", ".pt", ".pth", ".ckpt"]

  /// Why a folder may lack what is looked for, as far as the names in it tell.
  ///
  /// - Parameter folder: the folder.
  /// - Returns: phrases, each with what to do.
  static func hints(in folder: String) -> [String] {
    let names = FileSystem.names(in: folder)
    func first(_ endings: [String]) -> String? {
      names.first { name in endings.contains { name.lowercased().hasSuffix($0) } }
    }
    var hints: [String] = []
    if let name = first(unfinished) { hints.append("the download of '\(name)' has not ended") }
    let count = HubCache.unfinishedCount(around: folder)
    if count > 0 { hints.append(HubCache.unfinishedNote(count)) }
    if let name = first(pickles) {
      hints.append(
        "PyTorch pickles ('\(name)') are not opened, since that could run code: take the safetensors version"
      )
    }
    if let name = names.first(where: isModel) {
      hints.append("name the folder '\(name)' in it")
    }
    return hints

    func isModel(_ name: String) -> Bool {
      let path = join(folder, name)
      return name.hasPrefix("models--") && isFolder(join(path, "snapshots"))
        || FileSystem.isFile(join(path, "model_index.json"))
    }
  }
}
