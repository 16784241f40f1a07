import Foundation

/// Makes folders for results.
package enum FolderMaking {
  /// Makes a folder, and those above it, unless it exists.
  ///
  /// - Throws: `ModelFileError` if that cannot be done.
  package static func make(_ path: String) throws(ModelFileError) {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw ModelFileError(
        path: path, kind: .unwritable,
        fault: "cannot be made a folder: \((error as NSError).localizedDescription)")
    }
  }
}
