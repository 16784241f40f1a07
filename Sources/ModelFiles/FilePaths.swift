import Foundation

/// Paths as texts, whatever their bytes: file names on Linux are bytes, and old disks and archives
/// hold names that are not UTF-8.
///
/// A byte that is not part of valid UTF-8 becomes the private character U+10FF00 plus its value,
/// and so does each byte of such a character itself; `withSystemPath` turns them back. Every call
/// of the system goes through it, so that a text that came from here names the same file again.
package enum FilePaths {
  /// What stands for byte 0; the bytes that are escaped are 0x80 to 0xFF.
  private static let firstEscape: UInt32 = 0x10_FF00

  private static func isEscape(_ scalar: Unicode.Scalar) -> Bool {
    (firstEscape + 0x80...firstEscape + 0xFF).contains(scalar.value)
  }

  /// The text of a name or path.
  ///
  /// - Parameter bytes: as the system has them, without the final zero.
  /// - Returns: the same for valid UTF-8 of ordinary characters, else with escapes.
  package static func text(_ bytes: some Collection<UInt8>) -> String {
    if let text = String(validating: bytes, as: UTF8.self),
      !text.unicodeScalars.contains(where: isEscape)
    {
      return text
    }
    var text = String.UnicodeScalarView()
    var rest = Array(bytes)[...]
    while let first = rest.first {
      let length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
      let piece = String(validating: rest.prefix(length), as: UTF8.self)?.unicodeScalars
      if let piece, piece.count == 1, let scalar = piece.first, !isEscape(scalar) {
        text.append(scalar)
        rest = rest.dropFirst(length)
      } else {
        if let scalar = Unicode.Scalar(firstEscape + UInt32(first)) { text.append(scalar) }
        rest = rest.dropFirst()
      }
    }
    return String(text)
  }

  /// The bytes of a path, without a final zero.
  package static func bytes(_ path: String) -> [UInt8] {
    guard path.unicodeScalars.contains(where: isEscape) else { return Array(path.utf8) }
    return path.unicodeScalars.flatMap { scalar -> [UInt8] in
      isEscape(scalar)
        ? [UInt8(truncatingIfNeeded: scalar.value)] : Array(String(scalar).utf8)
    }
  }

  /// A path as people see it: a byte that is not UTF-8 is written as `\xE9`.
  package static func shown(_ path: String) -> String {
    // What begins an escape; nearly no text has it.
    guard path.utf8.contains(0xF4), path.unicodeScalars.contains(where: isEscape) else {
      return path
    }
    return path.unicodeScalars.map { scalar in
      isEscape(scalar)
        ? "\\x" + String(scalar.value - firstEscape, radix: 16, uppercase: true) : String(scalar)
    }.joined()
  }

  /// Calls `body` with a path as calls of the system take it. `errno` stays what `body` left.
  package static func withSystemPath<Value, Failure: Error>(
    _ path: String, _ body: (UnsafePointer<CChar>) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    let characters = bytes(path).map { CChar(bitPattern: $0) } + [0]
    var code: Int32 = 0
    // Giving memory back may change it.
    defer { errno = code }
    return try characters.withUnsafeBufferPointer { buffer in
      defer { code = errno }
      return Result { () throws(Failure) in
        // Never empty: the final zero is there.
        try body(buffer.baseAddress.unsafelyUnwrapped)
      }
    }.get()
  }
}

/// What lies where, asked of the system with any path.
package enum FileSystem {
  /// What the system says about a path, links followed; nil if nothing is there.
  package static func status(_ path: String) -> stat? {
    FilePaths.withSystemPath(path) { path in
      var status = stat()
      return stat(path, &status) == 0 ? status : nil
    }
  }

  /// Whether something is there.
  package static func exists(_ path: String) -> Bool { status(path) != nil }

  /// Whether a path names a folder.
  package static func isFolder(_ path: String) -> Bool {
    status(path).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
  }

  /// Whether a path names a regular file.
  package static func isFile(_ path: String) -> Bool {
    status(path).map { $0.st_mode & S_IFMT == S_IFREG } ?? false
  }

  /// The names in a folder, sorted by their bytes; empty if it cannot be read.
  package static func names(in folder: String) -> [String] {
    FilePaths.withSystemPath(folder) { path in
      guard let stream = opendir(path) else { return [] }
      defer { closedir(stream) }
      var names: [[UInt8]] = []
      while let entry = readdir(stream) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
        if name != Array(".".utf8), name != Array("..".utf8) { names.append(name) }
      }
      return names.sorted { $0.lexicographicallyPrecedes($1) }.map { FilePaths.text($0) }
    }
  }

  /// The path behind all links; nil if it leads nowhere.
  package static func resolved(_ path: String) -> String? {
    FilePaths.withSystemPath(path) { path in
      guard let target = realpath(path, nil) else { return nil }
      defer { free(target) }
      return FilePaths.text(UnsafeRawBufferPointer(start: target, count: strlen(target)))
    }
  }

  /// The folder that a path lies in.
  package static func folder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The last component of a path.
  package static func name(of path: String) -> String {
    // Bytes: a slash and a combining mark after it are one character.
    path.utf8.lastIndex(of: UInt8(ascii: "/"))
      .map { String(path[path.utf8.index(after: $0)...]) } ?? path
  }

  /// A path inside of a folder.
  package static func join(_ folder: String, _ name: String) -> String {
    folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }
}
