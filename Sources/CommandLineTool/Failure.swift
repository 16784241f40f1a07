import ArgumentParser
import Comparison
import Compute
import Conversion
import Foundation
import ImageMetrics
import ModelFiles
import StrictJSON
import Synchronization
import TextToImage

/// Exit codes, after `sysexits.h`.
enum ExitStatus {
  static let usage: Int32 = 64
  static let badData: Int32 = 65
  static let missingInput: Int32 = 66
  static let unsupported: Int32 = 69
  static let outOfMemory: Int32 = 71
  static let cannotWrite: Int32 = 73
  static let inputOutput: Int32 = 74
  static let interrupted: Int32 = 130

  /// What programs read of a code that ends a run with an error.
  static func kind(_ code: Int32) -> String {
    switch code {
    case usage: "usage"
    case badData: "badData"
    case missingInput: "missingInput"
    case unsupported: "unsupported"
    case outOfMemory: "outOfMemory"
    case cannotWrite: "cannotWrite"
    case inputOutput: "inputOutput"
    default: "failure"
    }
  }
}

/// How errors are told: a line for people, or with `--json` an object on one line, always on
/// stderr.
enum ErrorReport {
  private static let isJSON = Atomic(false)

  /// From here on errors are JSON.
  static func useJSON() { isJSON.store(true, ordering: .relaxed) }

  /// Prints an error.
  ///
  /// - Parameters:
  ///   - message: what is wrong.
  ///   - code: the exit code.
  ///   - usage: what people read after it.
  static func tell(_ message: String, _ code: Int32, usage: String = "") {
    let isJSON = isJSON.load(ordering: .relaxed)
    LiveLine.shared.printAbove(line(message, code) + "\n" + (isJSON ? "" : usage))
  }

  /// Says that a finished file is elsewhere, also where nothing but errors is wanted: the exit code
  /// needs a reason.
  static func tellRescue(_ message: String, _ code: Int32, place: String) {
    guard isJSON.load(ordering: .relaxed) else {
      return LiveLine.shared.printAbove("note: \(message.withoutControlCharacters)\n")
    }
    let error: JSONValue = [
      "error": [
        "message": .string(message.withoutControlCharacters), "exitCode": .integer(Int(code)),
        "kind": .string(ExitStatus.kind(code)), "writtenTo": .path(place),
      ]
    ]
    LiveLine.shared.printAbove(error.text() + "\n")
  }

  /// The line of an error.
  static func line(_ message: String, _ code: Int32) -> String {
    // Names in files may be very long; one line should stay one.
    let isLong = message.utf8.count > 2000
    let message = isLong ? message.prefix(900) + " ... " + message.suffix(900) : message
    let shown = message.withoutControlCharacters
    guard isJSON.load(ordering: .relaxed) else { return "error: \(shown)" }
    let error: JSONValue = [
      "error": [
        "message": .string(shown), "exitCode": .integer(Int(code)),
        "kind": .string(ExitStatus.kind(code)),
      ]
    ]
    return error.text()
  }
}

/// Prints one line for an error and ends the program's run with the fitting code.
func reportingFailure(_ body: () async throws -> Void) async throws {
  do {
    try await body()
  } catch let error as ModelFileError {
    throw fail(error.description, exitCode(error.kind))
  } catch let error as GenerationError {
    throw fail(error.description, exitCode(error))
  } catch let failure as ComparisonFailure {
    throw fail(failure.description, exitCode(failure.error))
  } catch let error as ComputeError {
    throw fail(error.description, exitCode(GenerationError(error)))
  } catch let error as ConversionError {
    throw fail(error.description, exitCode(error))
  } catch let error as ImageMetricError {
    throw fail(error.description, ExitStatus.badData)
  } catch let error as PNGError {
    throw fail(error.description, ExitStatus.cannotWrite)
  }
}

private func fail(_ message: String, _ code: Int32) -> ExitCode {
  if code != ExitStatus.interrupted { ErrorReport.tell(message, code) }
  return ExitCode(code)
}

/// The exit code for a fault of a file.
func exitCode(_ kind: ModelFileError.Kind) -> Int32 {
  switch kind {
  case .notFound: ExitStatus.missingInput
  case .malformed: ExitStatus.badData
  case .unsupported: ExitStatus.unsupported
  case .unreadable, .unwritten: ExitStatus.inputOutput
  case .outOfMemory: ExitStatus.outOfMemory
  case .unwritable: ExitStatus.cannotWrite
  case .contradicted: ExitStatus.usage
  }
}

private func exitCode(_ error: ConversionError) -> Int32 {
  switch error {
  case .unusable: ExitStatus.usage
  case .notFinite: ExitStatus.badData
  }
}

private func exitCode(_ error: GenerationError) -> Int32 {
  switch error {
  case .invalidRequest: ExitStatus.usage
  case .notFinite, .notFiniteImage, .notFiniteEncoding: ExitStatus.badData
  case .outOfMemory, .overBudget, .busy: ExitStatus.outOfMemory
  case .unreadable: ExitStatus.inputOutput
  case .cancelled: ExitStatus.interrupted
  }
}
