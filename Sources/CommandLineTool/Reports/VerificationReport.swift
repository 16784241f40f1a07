import Checkpoints
import Foundation
import Machine
import StrictJSON
import TextToImage

/// What `inspect --verify` found, for people and for programs.
struct VerificationReport {
  /// Problems that are listed; the others are counted.
  private static let maximumLines = 100

  private let verification: ModelVerification
  private let seconds: Double

  init(_ verification: ModelVerification, seconds: Double) {
    self.verification = verification
    self.seconds = seconds
  }

  /// Prints a line for each problem, and one for what was checked. A single error is left to
  /// stderr.
  func print() {
    var output = BufferedOutput()
    let isAlone = verification.errors.count == 1
    for problem in verification.problems.prefix(Self.maximumLines)
    where !isAlone || problem.severity != .error {
      // Names in files may be very long.
      let text = problem.description
      let shown = text.utf8.count > 2000 ? text.prefix(900) + " ... " + text.suffix(900) : text
      output.write("\(problem.severity.rawValue): \(shown.withoutControlCharacters)\n")
    }
    let rest = verification.problems.count - Self.maximumLines
    if rest > 0 { output.write("and \(rest) more\n") }
    if verification.fileCount > 0 { output.write(summary.withoutControlCharacters + "\n") }
    output.flush()
  }

  private var summary: String {
    let parts = verification.parts.map(\.name).joined(separator: ", ")
    var text = verification.errors.isEmpty ? "sound: " : "checked: "
    text += "\(verification.tensorCount) tensors, \(formattedBytes(verification.byteCount))"
    text +=
      parts.isEmpty
      ? "; no part of \(verification.modelPhrase) was recognized, so names were not checked"
      : "; names and shapes of \(parts)"
    text +=
      verification.hashCount == 0
      ? "; the files hold no hashes, so flipped bits may go unseen"
      : "; \(verification.hashCount) stored hashes"
    if !verification.missing.isEmpty {
      text +=
        "; to run it, these are missing here: "
        + verification.missing.joined(separator: ", ")
    }
    let speed = Double(verification.byteCount) / max(1e-3, verification.readSeconds)
    return text + String(format: "; %.1f s, read at ", seconds) + "\(formattedBytes(Int(speed)))/s"
  }

  /// The whole result.
  var json: JSONValue {
    [
      "path": .path(verification.path), "sound": .bool(verification.errors.isEmpty),
      "problems": .array(
        verification.problems.map { problem in
          [
            "severity": .string(problem.severity.rawValue), "path": .path(problem.path),
            "tensor": problem.tensor.map { .string($0) } ?? .null, "fault": .path(problem.fault),
          ]
        }),
      "parts": .array(verification.parts.map { .string($0.name) }),
      "missing": .array(verification.missing.map { .path($0) }),
      "files": .integer(verification.fileCount), "tensors": .integer(verification.tensorCount),
      "hashes": .integer(verification.hashCount), "bytes": .integer(verification.byteCount),
      "seconds": .double(seconds), "readSeconds": .double(verification.readSeconds),
    ]
  }
}
