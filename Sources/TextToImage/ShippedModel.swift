import ModelFiles

/// The small model that comes with the program, so that it makes pictures right away.
public enum ShippedModel {
  /// Its file name in any `models` folder.
  public static let fileName = "auraflow-icons.gguf"
  /// The environment variable that names the folder to look in instead of the usual ones.
  public static let folderVariable = "AURAFLOW_MODELS"

  /// Finds the model, independently of the working directory.
  ///
  /// Looked in: the folder that `AURAFLOW_MODELS` names, and only there if it is set; `models`
  /// beside the executable and in the folders above it (a checkout); the data folders of the user
  /// and the system.
  ///
  /// - Throws: `ModelFileError` listing where it was looked for.
  public static func path() throws(ModelFileError) -> String {
    let folders = candidates()
    for folder in folders {
      let path = folder + "/" + fileName
      if FileSystem.exists(path) { return path }
    }
    throw ModelFileError(
      path: fileName, kind: .notFound,
      fault:
        "the shipped model was not found in \(folders.prefix(3).joined(separator: ", ")), ...: "
        + "name a model with --model, or its folder with \(folderVariable)")
  }

  private static func candidates() -> [String] {
    if let folder = FileSystem.environmentPath(folderVariable) { return [folder] }
    var folders: [String] = []
    var folder = FileSystem.folder(of: FileSystem.resolved("/proc/self/exe") ?? "/")
    // A build lies a few levels inside the checkout.
    for _ in 0..<6 where folder != "/" {
      folders.append(FileSystem.join(folder, "models"))
      folder = FileSystem.folder(of: folder)
    }
    let home = FileSystem.environmentPath("HOME") ?? ""
    let userData = FileSystem.environmentPath("XDG_DATA_HOME") ?? home + "/.local/share"
    return folders
      + [userData, "/usr/local/share", "/usr/share"].map { $0 + "/auraflow/models" }
  }
}
