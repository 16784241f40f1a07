import ArgumentParser
import Foundation
import ModelFiles
import Synchronization

/// Writes what a run has made, each file to the first place that takes it: one that cannot be
/// written under its name keeps no other from being written, and the exit code tells in the end.
final class ResultWriter: Sendable {
  private let console: Console
  private let overwrite: Bool
  /// Of the first failure.
  private let status = Mutex<Int32?>(nil)

  init(_ console: Console, overwrite: Bool) {
    self.console = console
    self.overwrite = overwrite
  }

  /// Writes a whole file.
  ///
  /// - Parameters:
  ///   - path: where it is meant to go.
  ///   - ending: of the name, such as `.png`, where `path` is a device or pipe that fails.
  ///   - content: makes the bytes.
  /// - Returns: where the file is; nil if it is lost, which has been said then.
  func write(_ path: String, ending: String, _ content: () throws -> [UInt8]) -> String? {
    do {
      let rescued = try RescuedFile.write(
        try content(), to: path, overwrite: overwrite, ending: ending)
      if let rescued { tell(rescued) }
      return rescued?.path ?? path
    } catch let error as ModelFileError {
      fail(error.description, exitCode(error.kind))
    } catch {
      fail("\(path): \(error)", ExitStatus.cannotWrite)
    }
    return nil
  }

  /// Says that a file is elsewhere.
  func tell(_ rescued: RescuedFile) {
    let code = exitCode(rescued.reason.kind)
    remember(code)
    console.endProgress()
    ErrorReport.tellRescue(rescued.note, code, place: rescued.path)
  }

  /// Ends the run with the code of the first failure, if there was one.
  func finish() throws(ExitCode) {
    if let status = status.withLock({ $0 }) { throw ExitCode(status) }
  }

  private func fail(_ line: String, _ code: Int32) {
    remember(code)
    console.endProgress()
    ErrorReport.tell(line, code)
  }

  private func remember(_ code: Int32) { status.withLock { $0 = $0 ?? code } }
}
