import Foundation

/// Keeps some work in a folder to one run, as long as the object lives.
package final class WorkLock: Sendable {
  private let descriptor: Int32

  /// - Parameters:
  ///   - path: the file that is locked; made if there is none.
  ///   - folder: for messages.
  ///   - refusal: what to say if another run has it.
  /// - Throws: `ModelFileError` if another run has it, or it cannot be made.
  package init(path: String, folder: String, refusal: String) throws(ModelFileError) {
    descriptor = FileSystem.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o666)
    guard descriptor >= 0 else { throw AtomicFile.failure(path, "cannot create") }
    // Where files cannot be locked, nobody is kept out.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
      // The descriptor goes with the object.
      throw ModelFileError(path: folder, kind: .unwritable, fault: refusal)
    }
  }

  deinit { close(descriptor) }
}
