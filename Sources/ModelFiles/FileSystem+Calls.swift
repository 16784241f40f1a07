import Foundation

/// Calls of the system that open and change files, with any path. They return what the system
/// returns: −1 with `errno` for a failure.
extension FileSystem {
  package static func open(_ path: String, _ flags: Int32, _ mode: mode_t = 0) -> Int32 {
    FilePaths.withSystemPath(path) { Foundation.open($0, flags, mode) }
  }

  package static func rename(_ old: String, _ new: String) -> Int32 {
    FilePaths.withSystemPath(old) { old in
      FilePaths.withSystemPath(new) { Foundation.rename(old, $0) }
    }
  }

  @discardableResult
  package static func unlink(_ path: String) -> Int32 {
    FilePaths.withSystemPath(path) { Foundation.unlink($0) }
  }

  package static func makeFolder(_ path: String) -> Int32 {
    FilePaths.withSystemPath(path) { Foundation.mkdir($0, 0o777) }
  }

  /// Removes a folder if it holds nothing.
  package static func removeEmptyFolder(_ path: String) {
    _ = FilePaths.withSystemPath(path) { rmdir($0) }
  }

  package static func access(_ path: String, _ mode: Int32) -> Int32 {
    FilePaths.withSystemPath(path) { Foundation.access($0, mode) }
  }

  /// What the system says about a path itself, be it a link; nil if nothing is there.
  package static func linkStatus(_ path: String) -> stat? {
    FilePaths.withSystemPath(path) { path in
      var status = stat()
      return lstat(path, &status) == 0 ? status : nil
    }
  }

  /// Where a link leads, as it is written in it; nil if the path is not a link.
  package static func linkTarget(_ path: String) -> String? {
    FilePaths.withSystemPath(path) { path in
      var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
      let count = readlink(path, &buffer, buffer.count)
      return count > 0 ? FilePaths.text(buffer[..<count].map { UInt8(bitPattern: $0) }) : nil
    }
  }

  /// Where a file lies that is written to a path: links are followed, also those that lead to
  /// nothing yet.
  package static func destination(of path: String) -> String {
    var path = path
    // As many links as the system follows.
    for _ in 0..<40 {
      if let target = resolved(path) { return target }
      guard let target = linkTarget(path) else { break }
      path = target.hasPrefix("/") ? target : join(folder(of: path), target)
    }
    return resolved(folder(of: path)).map { join($0, name(of: path)) } ?? path
  }

  /// Bytes that are free on the disk of a path; nil if the system does not tell.
  package static func freeBytes(at path: String) -> UInt64? {
    FilePaths.withSystemPath(path) { path in
      var status = statvfs()
      guard statvfs(path, &status) == 0 else { return nil }
      let (free, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(
        by: UInt64(status.f_frsize))
      return overflow ? nil : free
    }
  }
}

extension FileSystem {
  /// The value of an environment variable that holds a path; nil if it is not set or empty.
  package static func environmentPath(_ name: String) -> String? {
    guard let value = getenv(name), value.pointee != 0 else { return nil }
    return FilePaths.text(UnsafeRawBufferPointer(start: value, count: strlen(value)))
  }

  /// Where files go that nobody keeps.
  package static var temporaryFolder: String { environmentPath("TMPDIR") ?? "/tmp" }

  /// The content of a regular file that is not large.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - limit: most bytes that it may have.
  /// - Returns: nil if it cannot be read, is longer or is not a regular file.
  package static func content(of path: String, limit: Int = 256 << 20) -> [UInt8]? {
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      status.st_size <= limit
    else { return nil }
    var content: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { return nil }
      guard count > 0 else { return content }
      content += buffer[..<count]
      guard content.count <= limit else { return nil }
    }
  }

  /// The text of a file; nil if it cannot be read or is not UTF-8.
  package static func text(of path: String) -> String? {
    content(of: path).flatMap { String(validating: $0, as: UTF8.self) }
  }

  /// Removes a file, or a folder with all that it holds, as far as that is possible.
  package static func removeTree(_ path: String) {
    guard let status = linkStatus(path) else { return }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      unlink(path)
      return
    }
    for name in names(in: path) { removeTree(join(path, name)) }
    _ = FilePaths.withSystemPath(path) { rmdir($0) }
  }

  /// Whether a path names a folder that can be read and holds nothing.
  package static func isEmptyFolder(_ path: String) -> Bool {
    FilePaths.withSystemPath(path) { path in
      guard let stream = opendir(path) else { return false }
      defer { closedir(stream) }
      var count = 0
      while readdir(stream) != nil { count += 1 }
      // The folder itself and the one above it.
      return count <= 2
    }
  }

  /// The paths of everything in a folder and the folders in it; links are not followed.
  package static func descendants(of folder: String) -> [String] {
    names(in: folder).flatMap { name -> [String] in
      let path = join(folder, name)
      guard let status = linkStatus(path), status.st_mode & S_IFMT == S_IFDIR else { return [path] }
      return [path] + descendants(of: path)
    }
  }

  /// The end of a name after its last dot, in lower case; empty if it has none.
  package static func fileExtension(of path: String) -> String {
    let name = name(of: withoutTrailingSlashes(path))
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")), dot != name.startIndex else {
      return ""
    }
    return name[name.utf8.index(after: dot)...].lowercased()
  }

  /// The last component of a path without its extension.
  package static func stem(of path: String) -> String {
    let name = name(of: withoutTrailingSlashes(path))
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")), dot != name.startIndex else {
      return name
    }
    return String(name[..<dot])
  }

  /// A path that names a folder by itself, not by what is in it.
  package static func withoutTrailingSlashes(_ path: String) -> String {
    var path = path
    while path.utf8.count > 1, path.unicodeScalars.last == "/" { path.unicodeScalars.removeLast() }
    return path
  }
}
