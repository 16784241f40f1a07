import Foundation
import TestSupport
import Testing

/// Runs the built program as a user does.
struct CommandLine {
  struct Outcome {
    let status: Int32
    let wasSignalled: Bool
    let output: String
    /// What it wrote on stderr but for lines of progress: whether they come depends on the machine.
    let errors: String

    /// Lines of stderr.
    var errorLines: [Substring] { errors.split(separator: "\n") }
  }

  /// The executable beside the test bundle.
  static let executable: URL = {
    var folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    // swift test runs the bundle itself or a helper of the toolchain; the arguments name the
    // bundle.
    for argument in ProcessInfo.processInfo.arguments where argument.hasSuffix(".xctest") {
      folder = URL(fileURLWithPath: argument)
    }
    return folder.deletingLastPathComponent().appendingPathComponent("auraflow")
  }()

  /// Starts the program, or another one.
  static func start(
    _ arguments: [String], in folder: URL, environment: [String: String] = [:],
    program: URL = executable, output: Any? = nil, errors: Any? = nil
  ) throws -> Process {
    let process = Process()
    process.executableURL = program
    process.arguments = arguments
    process.currentDirectoryURL = folder
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    return process
  }

  /// Runs a shell script with the program as `$1` and the arguments after it.
  static func shell(_ script: String, _ arguments: [String] = [], in folder: URL) throws -> Outcome
  {
    try run(
      ["-c", script, "sh", executable.path] + arguments, in: folder,
      program: URL(fileURLWithPath: "/bin/sh"))
  }

  /// Runs the program to its end.
  static func run(
    _ arguments: [String], in folder: URL, environment: [String: String] = [:],
    program: URL = executable
  ) throws -> Outcome {
    // Files instead of pipes: no output can fill them up.
    let files = try TemporaryFolder()
    let paths = ["output", "errors"].map { files.path($0) }
    for path in paths { try Data().write(to: URL(fileURLWithPath: path)) }
    let handles = try paths.map { try FileHandle(forWritingTo: URL(fileURLWithPath: $0)) }
    let process = try start(
      arguments, in: folder, environment: environment, program: program, output: handles[0],
      errors: handles[1])
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus,
      wasSignalled: process.terminationReason == .uncaughtSignal,
      output: try String(contentsOfFile: paths[0], encoding: .utf8),
      errors: withoutProgress(try String(contentsOfFile: paths[1], encoding: .utf8)))
  }

  private static func withoutProgress(_ text: String) -> String {
    let stages = ["encoding text", "preparing schedule", "decoding"]
    return text.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
      !line.contains("  ETA ") && !line.contains(#/^([a-z ]+  )?\d+/\d+  /#)
        && !stages.contains { line == $0 }
    }.joined(separator: "\n")
  }
}
