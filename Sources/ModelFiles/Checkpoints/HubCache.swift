import Foundation

/// Finds models in the cache of Hugging Face's hub, as its tools lay it out:
/// `models--OWNER--NAME/{blobs,refs,snapshots}`, where a snapshot's files are links into `blobs`.
package enum HubCache {
  /// Maximum number of entries of a folder that are looked at.
  private static let maximumEntries = 4096

  /// The folder or file to use for a path.
  ///
  /// - Parameter path: a repository's folder or its `snapshots`, which become the snapshot that is
  ///   meant; a file in `blobs`, which becomes the snapshot's link to it, since that has a name and
  ///   neighbours; or anything else, which stays as it is.
  /// - Returns: the path to open.
  package static func resolve(_ path: String) -> String {
    if FileSystem.isFolder(path) {
      if let snapshot = snapshot(of: path) { return snapshot }
      let name = FileSystem.name(of: FileSystem.withoutTrailingSlashes(path))
      if name == "snapshots", let snapshot = snapshot(of: path + "/..") { return snapshot }
      return path
    }
    let folder = FileSystem.folder(of: path)
    guard let absolute = FileSystem.resolved(folder), FileSystem.name(of: absolute) == "blobs",
      let target = FileSystem.resolved(path)
    else { return path }
    return link(to: target, in: FileSystem.folder(of: absolute)) ?? path
  }

  /// The folder of a repository in the user's cache.
  ///
  /// - Parameter name: `OWNER/NAME`.
  /// - Returns: nil if the repository is not there.
  package static func repository(_ name: String) -> String? {
    let folder = "models--" + name.split(separator: "/").joined(separator: "--")
    let home = FileSystem.environmentPath("HOME").map { FileSystem.join($0, ".cache") }
    let cache = FileSystem.environmentPath("XDG_CACHE_HOME") ?? home
    // As the hub's own tools look for it.
    let roots = [
      FileSystem.environmentPath("HF_HUB_CACHE"),
      FileSystem.environmentPath("HF_HOME").map { FileSystem.join($0, "hub") },
      cache.map { FileSystem.join($0, "huggingface/hub") },
    ]
    guard let root = roots.lazy.compactMap({ $0 }).first else { return nil }
    let path = FileSystem.join(root, folder)
    return FileSystem.isFolder(path) ? path : nil
  }

  /// Files of a repository's cache whose download has not ended.
  ///
  /// - Parameter path: a folder or file inside of the cache.
  /// - Returns: their number; 0 outside of a cache.
  package static func unfinishedCount(around path: String) -> Int {
    guard
      var folder = FileSystem.resolved(
        FileSystem.isFolder(path) ? path : FileSystem.folder(of: path))
    else { return 0 }
    for _ in 0..<5 {
      let blobs = FileSystem.join(folder, "blobs")
      if FileSystem.isFolder(blobs), FileSystem.isFolder(FileSystem.join(folder, "snapshots")) {
        return FileSystem.names(in: blobs).count { $0.hasSuffix(".incomplete") }
      }
      folder = FileSystem.folder(of: folder)
    }
    return 0
  }

  /// Says that downloads have not ended.
  package static func unfinishedNote(_ count: Int) -> String {
    count == 1
      ? "a download into this cache has not ended"
      : "\(count) downloads into this cache have not ended"
  }

  /// The snapshot of a repository: the one that `refs/main` names, else the newest.
  private static func snapshot(of repository: String) -> String? {
    let snapshots = FileSystem.join(repository, "snapshots")
    guard FileSystem.isFolder(snapshots),
      ["blobs", "refs"].contains(where: { FileSystem.isFolder(FileSystem.join(repository, $0)) })
    else { return nil }
    let revisions = FileSystem.names(in: snapshots).filter {
      FileSystem.isFolder(FileSystem.join(snapshots, $0))
    }
    if let main = try? MappedFile(path: FileSystem.join(repository, "refs/main")),
      main.size <= 256
    {
      let revision = String(decoding: main.bytes, as: UTF8.self)
        .trimmingCharacters(in: .whitespacesAndNewlines)
      if revisions.contains(revision) { return FileSystem.join(snapshots, revision) }
    }
    func age(_ revision: String) -> Int {
      FileSystem.status(FileSystem.join(snapshots, revision)).map { Int($0.st_mtim.tv_sec) } ?? 0
    }
    return revisions.max { age($0) < age($1) }.map { FileSystem.join(snapshots, $0) }
  }

  /// The file of a snapshot that is a link to a blob.
  private static func link(to target: String, in repository: String) -> String? {
    let snapshots = FileSystem.join(repository, "snapshots")
    let newest = snapshot(of: repository)
    let folders =
      [newest].compactMap { $0 }
      + FileSystem.names(in: snapshots).map { FileSystem.join(snapshots, $0) }
    for folder in folders {
      if let found = link(to: target, below: folder, depth: 3) { return found }
    }
    return nil
  }

  private static func link(to target: String, below folder: String, depth: Int) -> String? {
    for name in FileSystem.names(in: folder).prefix(maximumEntries) {
      let path = FileSystem.join(folder, name)
      // Links to folders lead anywhere, also back.
      if let status = FileSystem.linkStatus(path), status.st_mode & S_IFMT == S_IFDIR {
        if depth > 1, let found = link(to: target, below: path, depth: depth - 1) { return found }
      } else if FileSystem.resolved(path) == target {
        return path
      }
    }
    return nil
  }
}
