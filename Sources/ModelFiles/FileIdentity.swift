import Foundation

/// Tells files apart by name, size and the time of their last change, without reading them.
package enum FileIdentity {
  /// A text that differs when any of the files is replaced or changed.
  ///
  /// - Parameter paths: the files; those that do not exist count by their name.
  /// - Returns: one line.
  package static func text(of paths: [String]) -> String {
    paths.map { path in
      guard let status = FileSystem.status(path) else { return path }
      return "\(status.st_dev):\(status.st_ino):\(status.st_size):"
        + "\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }.joined(separator: " ")
  }

  /// Bytes of a file; zero if it does not exist.
  package static func byteCount(of path: String) -> Int {
    FileSystem.status(path).map { Int($0.st_size) } ?? 0
  }
}
