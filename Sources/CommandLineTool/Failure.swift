import ArgumentParser
import Comparison
import Conversion
import Foundation
import ImageMetrics
import ModelFiles
import Tensors
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
  static let terminated: Int32 = 143
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
  if code != ExitStatus.interrupted {
    // Names in files may be very long; one line should stay one.
    let shown =
      message.utf8.count > 2000 ? message.prefix(900) + " ... " + message.suffix(900) : message
    Console.writeError("error: \(shown.withoutControlCharacters)\n")
  }
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
  case .notFinite, .notFiniteImage: ExitStatus.badData
  case .outOfMemory, .overBudget: ExitStatus.outOfMemory
  case .unreadable: ExitStatus.inputOutput
  case .cancelled: ExitStatus.interrupted
  }
}
