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

  /// Whether a folder that is there may go.
  ///
  /// - Parameters:
  ///   - path: the folder.
  ///   - overwrite: whether the user allows it.
  /// - Returns: true.
  /// - Throws: `ModelFileError` if it may not.
  package static func mayReplace(
    _ path: String, _ overwrite: Bool
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
    guard overwrite else {
      throw ModelFileError(
        path: path, kind: .unwritable, fault: "exists already: pass --force to replace it")
    }
    return true
  }
}
