import Foundation

/// A folder that is filled under a temporary name and gets its own when it is whole.
///
/// An object that goes before `commit` leaves neither a temporary folder nor a changed old one.
package final class AtomicFolder {
  /// Where the folder will be.
  package let path: String
  /// Where it is meanwhile, beside `path`.
  private let temporaryPath: String
  /// Whether something was there that may go.
  private let replacesFormer: Bool
  private var isCommitted = false

  /// Creates the temporary folder.
  ///
  /// - Parameters:
  ///   - path: where the folder will be; an empty folder there does no harm.
  ///   - byteCount: bytes to come, checked against the free space.
  ///   - mayReplace: whether an existing folder may be removed with all that it holds.
  /// - Throws: `ModelFileError` if the name is taken, the place not writable or the disk too full.
  package init(
    path: String, byteCount: Int, mayReplace: () throws(ModelFileError) -> Bool
  ) throws(ModelFileError) {
    let trimmed = FileSystem.withoutTrailingSlashes(path)
    self.path = trimmed
    // The root stays as it is.
    guard !trimmed.isEmpty, trimmed != "/" else {
      throw ModelFileError(path: path, kind: .unwritable, fault: "is not a name for a new folder")
    }
    replacesFormer = try !Self.isFree(trimmed)
    if replacesFormer, try !mayReplace() {
      throw ModelFileError(path: path, kind: .unwritable, fault: "exists already")
    }
    try AtomicFile.checkSpace(for: byteCount, at: trimmed)
    temporaryPath = try AtomicFile.temporaryPath(for: trimmed)
    guard FileSystem.makeFolder(temporaryPath) == 0 else {
      throw AtomicFile.failure(path, "cannot create a folder here")
    }
  }

  deinit { discard() }

  /// Checks that a folder could be made, before hours of work are spent on its content.
  ///
  /// - Parameters:
  ///   - path: where the folder will be.
  ///   - mayReplace: whether an existing folder may be removed with all that it holds.
  /// - Throws: `ModelFileError` if the name is taken or the place not writable.
  package static func check(
    _ path: String, mayReplace: () throws(ModelFileError) -> Bool
  ) throws(ModelFileError) {
    try AtomicFolder(path: path, byteCount: 0, mayReplace: mayReplace).discard()
  }

  /// Where a file of the folder is to be written; folders on the way are made.
  ///
  /// - Parameter name: the path of the file inside of the folder.
  /// - Returns: its path at the moment.
  /// - Throws: `ModelFileError` if a folder cannot be made.
  package func file(_ name: String) throws(ModelFileError) -> String {
    let file = FileSystem.join(temporaryPath, name)
    do throws(ModelFileError) {
      try FolderMaking.make(FileSystem.folder(of: file))
    } catch {
      throw ModelFileError(path: path, kind: .unwritten, fault: "cannot create folders in it")
    }
    return file
  }

  /// Gives the folder its name, or another one beside it where it cannot have that.
  ///
  /// - Returns: where it is instead, an old folder being as it was; nil if it has its name.
  /// - Throws: `ModelFileError` if someone removed it.
  package func commit() throws(ModelFileError) -> RescuedFile? {
    guard let reason = rename() else { return nil }
    guard FreePlaces.isThere(temporaryPath) else { throw reason.lost }
    isCommitted = true
    let found = try FreePlaces(for: path, ending: "").first { candidate in
      if SystemCalls.renameNew(temporaryPath, candidate) == 0 { return .taken }
      return FreePlaces.isThere(candidate) ? .nameIsInUse : .placeFails
    }
    // Where nothing else is possible it stays under the name that it has.
    return RescuedFile(path: found ?? temporaryPath, reason: reason)
  }

  /// - Returns: why the folder cannot have its name; then an old one is as it was.
  private func rename() -> ModelFileError? {
    do throws(ModelFileError) {
      // A folder replaces an empty one by itself, one with content must go aside first.
      var former: String?
      if try !Self.isFree(path) {
        // What came meanwhile was never allowed to go.
        guard replacesFormer else {
          throw ModelFileError(
            path: path, kind: .unwritable, fault: "was filled by someone else while it was written")
        }
        let aside = try AtomicFile.temporaryPath(for: path)
        guard FileSystem.rename(path, aside) == 0 else {
          throw AtomicFile.failure(path, "cannot replace it")
        }
        former = aside
      }
      guard FileSystem.rename(temporaryPath, path) == 0 else {
        let error = AtomicFile.failure(path, "cannot finish", .unwritten)
        if let former { _ = FileSystem.rename(former, path) }
        throw error
      }
      isCommitted = true
      AtomicFile.flushFolder(of: path)
      if let former { FileSystem.removeTree(former) }
      return nil
    } catch {
      return error
    }
  }

  /// Removes what was written; does nothing after `commit`.
  package func discard() {
    guard !isCommitted else { return }
    isCommitted = true
    FileSystem.removeTree(temporaryPath)
  }

  /// Whether nothing, or an empty folder, has a name.
  private static func isFree(_ path: String) throws(ModelFileError) -> Bool {
    // A link is in the way even if it leads nowhere.
    guard let status = FileSystem.linkStatus(path) else {
      guard errno == ENOENT else { throw AtomicFile.failure(path, "cannot write") }
      return true
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw ModelFileError(
        path: path, kind: .unwritable, fault: "exists already and is not a folder")
    }
    return FileSystem.isEmptyFolder(path)
  }
}
