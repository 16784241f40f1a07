import Foundation
import ModelFiles

/// Keeps the work of a calibration to one run, as long as the object lives.
final class CalibrationLock: Sendable {
  private let descriptor: Int32

  /// - Parameters:
  ///   - path: the file that is locked; made if there is none.
  ///   - folder: for messages.
  /// - Throws: `ModelFileError` if another run has it, or it cannot be made.
  init(path: String, folder: String) throws(ModelFileError) {
    descriptor = FileSystem.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else {
      throw ModelFileError(
        path: path, kind: .unwritable, fault: "cannot create: \(String(cString: strerror(errno)))")
    }
    // Where files cannot be locked, nobody is kept out.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
      // The descriptor goes with the object.
      throw ModelFileError(
        path: folder, kind: .unwritable,
        fault: "another run is calibrating the same in this folder: wait for its end, or name "
          + "another --calibration-folder")
    }
  }

  deinit { close(descriptor) }
}
