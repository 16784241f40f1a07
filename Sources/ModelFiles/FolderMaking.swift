import Foundation

/// Makes folders for results.
package enum FolderMaking {
  /// Makes a folder, and those above it, unless it exists.
  ///
  /// - Throws: `ModelFileError` if that cannot be done.
  package static func make(_ path: String) throws(ModelFileError) {
    let path = FileSystem.withoutTrailingSlashes(path)
    var status = FileSystem.makeFolder(path)
    let folder = FileSystem.folder(of: path)
    if status != 0, errno == ENOENT, folder != path {
      try make(folder)
      status = FileSystem.makeFolder(path)
    }
    let code = errno
    guard status != 0, !FileSystem.isFolder(path) else { return }
    throw ModelFileError(
      path: path, kind: .unwritable,
      fault: "cannot create the folder: \(String(cString: strerror(code)))")
  }
}
