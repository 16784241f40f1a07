import ModelFiles

/// Finding files in the folders that tools make.
enum ModelFolder {
  static func isFolder(_ path: String) -> Bool { FileSystem.isFolder(path) }

  static func join(_ folder: String, _ name: String) -> String { FileSystem.join(folder, name) }

  /// The folder that a file lies in.
  static func folder(of path: String) -> String { FileSystem.folder(of: path) }

  /// The error about a folder without weights.
  static func noWeights(in folder: String) -> ModelFileError {
    let pickles = FileSystem.names(in: folder).contains { name in
      [".bin", ".pt", ".pth", ".ckpt"].contains { name.lowercased().hasSuffix($0) }
    }
    let unfinished = HubCache.unfinishedCount(around: folder)
    return ModelFileError(
      path: folder, kind: .notFound,
      fault: "has no safetensors or GGUF weights"
        + (pickles ? ": PyTorch pickles are not opened, convert them to safetensors" : "")
        + (unfinished > 0 ? ": \(HubCache.unfinishedNote(unfinished))" : ""))
  }
}
