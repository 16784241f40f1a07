import Foundation

/// A finished file that could not have the name that it was meant for, and where it is instead.
///
/// What hours of work made is never thrown away: a name may be taken meanwhile, its folder gone,
/// the disk full. Then the file goes beside its place under a free name, else into the working
/// folder, else into the folder for temporary files.
package struct RescuedFile: Sendable, Equatable {
  /// Where the file is.
  package let path: String
  /// Why it is not where it was meant to be.
  package let reason: ModelFileError

  /// One line that says where and why.
  package var note: String {
    "\(reason.withoutAdvice); written to \(path) instead"
  }

  /// Writes a whole file to the first place that takes it.
  ///
  /// - Parameters:
  ///   - bytes: the content.
  ///   - path: where it is meant to go.
  ///   - overwrite: whether an existing file may be replaced there; elsewhere none is.
  ///   - ending: of the name, such as `.png`, where `path` is a device or pipe that fails.
  /// - Returns: nil if it is where it was meant to be.
  /// - Throws: `ModelFileError` if no place takes it.
  package static func write(
    _ bytes: [UInt8], to path: String, overwrite: Bool, ending: String
  ) throws(ModelFileError) -> RescuedFile? {
    try writing(to: path, overwrite: overwrite, ending: ending) {
      (path, overwrite) throws(ModelFileError) in
      try AtomicFile.write(bytes, to: path, overwrite: overwrite)
    }
  }

  /// Lets `write` make a file at the first place that takes it.
  ///
  /// - Parameters:
  ///   - path: where it is meant to go.
  ///   - overwrite: whether an existing file may be replaced there.
  ///   - ending: of the name where `path` is a device or pipe that fails.
  ///   - write: makes the whole file under a name; called again for others if it fails.
  /// - Returns: nil if the file is where it was meant to be.
  /// - Throws: `ModelFileError` if no place takes it, or `write` fails for another reason.
  package static func writing(
    to path: String, overwrite: Bool, ending: String,
    _ write: (_ path: String, _ overwrite: Bool) throws(ModelFileError) -> Void
  ) throws(ModelFileError) -> RescuedFile? {
    let reason: ModelFileError
    do throws(ModelFileError) {
      try write(path, overwrite)
      return nil
    } catch {
      guard error.isAboutPlace else { throw error }
      reason = error
    }
    let places = FreePlaces(for: path, ending: ending)
    let found = try places.first { candidate throws(ModelFileError) in
      do throws(ModelFileError) {
        try write(candidate, false)
        return .taken
      } catch {
        guard error.isAboutPlace else { throw error }
        return FreePlaces.isThere(candidate) ? .nameIsInUse : .placeFails
      }
    }
    guard let found else { throw reason.lost }
    return RescuedFile(path: found, reason: reason)
  }
}

/// Names that a file may have instead of its own, the best first.
struct FreePlaces {
  /// What became of an attempt.
  enum Outcome {
    case taken
    /// Someone was faster.
    case nameIsInUse
    case placeFails
  }

  /// Folders to try, and the number from which names in each are counted; 0 is the name itself.
  private let folders: [(path: String, first: Int)]
  private let name: String

  /// Maximum number of numbered names that are tried in a folder.
  private static let largestNumber = 9999

  /// - Parameters:
  ///   - path: the file's own name.
  ///   - ending: for names of devices and pipes, which have none.
  init(for path: String, ending: String) {
    let own = FileSystem.folder(of: path)
    let isElsewhere =
      AtomicFile.isDevice(path) || path.hasPrefix("/dev/") || path.hasPrefix("/proc/")
    let given = FileSystem.name(of: path)
    name = isElsewhere ? given + ending : given.isEmpty ? "unnamed" + ending : given
    var folders: [(path: String, first: Int)] = isElsewhere ? [] : [(own, 1)]
    for folder in [".", FileSystem.temporaryFolder] {
      let isKnown = folders.contains {
        $0.path == folder || FileSystem.resolved($0.path) == FileSystem.resolved(folder)
      }
      if !isKnown { folders.append((folder, 0)) }
    }
    self.folders = folders
  }

  /// Whether something has a name, be it a link that leads nowhere.
  static func isThere(_ path: String) -> Bool {
    FileSystem.linkStatus(path) != nil
  }

  /// The first free name that `attempt` can use.
  func first(
    _ attempt: (_ path: String) throws(ModelFileError) -> Outcome
  ) throws(ModelFileError) -> String? {
    for folder in folders {
      for number in folder.first...Self.largestNumber {
        let candidate = path(number, in: folder.path)
        guard !Self.isThere(candidate) else { continue }
        let outcome = try attempt(candidate)
        if outcome == .taken { return candidate }
        if outcome == .placeFails { break }
      }
    }
    return nil
  }

  private func path(_ number: Int, in folder: String) -> String {
    let name = Self.numbered(name, number)
    return folder == "." ? name : FileSystem.join(folder, name)
  }

  /// `a.png` as `a-1.png`, within the bytes that a name may have.
  static func numbered(_ name: String, _ number: Int) -> String {
    guard number > 0 else { return name }
    let dot = name.lastIndex(of: ".").flatMap { $0 == name.startIndex ? nil : $0 } ?? name.endIndex
    var stem = name[..<dot]
    let ending = "-\(number)\(name[dot...])"
    while stem.count > 1, FilePaths.bytes(stem + ending).count > 255 { stem.removeLast() }
    return stem + ending
  }
}

extension ModelFileError {
  /// Whether another place may do where this one does not.
  var isAboutPlace: Bool { kind == .unwritable || kind == .unwritten }

  /// What to do about a name that is in use.
  static let forceAdvice = ": pass --force to replace it"

  /// The line without what would have helped before the work.
  fileprivate var withoutAdvice: String {
    let line = description
    return line.hasSuffix(Self.forceAdvice) ? String(line.dropLast(Self.forceAdvice.count)) : line
  }

  /// The same about a file that no place takes.
  var lost: ModelFileError {
    let reason = ModelFileError(path: path, kind: kind, fault: fault).withoutAdvice
    return ModelFileError(
      path: path, kind: kind,
      fault: reason.dropFirst(path.count + 2) + "; no other place takes it: it is lost")
  }
}
