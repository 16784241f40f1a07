import ArgumentParser
import Foundation
import Kernels
import ModelFiles

/// Parses the command line, runs the verb and ends the program with its exit code.
@main
enum Program {
  static func main() async {
    let arguments = CommandLineArguments.fromSystem()
    if CommandLineArguments.asksForJSON(arguments) { ErrorReport.useJSON() }
    if let complaint = KernelSelection.complaint {
      ErrorReport.tell(complaint, ExitStatus.usage)
      end(ExitStatus.usage)
    }
    if let complaint = AddressSpace.prepare() {
      ErrorReport.tell(complaint, ExitStatus.outOfMemory)
      end(ExitStatus.outOfMemory)
    }
    MappingFaults.endProcess(exitCode: ExitStatus.inputOutput) { path, fault in
      ErrorReport.line("\(path): \(fault)", ExitStatus.inputOutput)
    }
    let verb = Verb(arguments)
    do {
      try verb.expectKnown()
      var command = try RootCommand.parseAsRoot(
        try CommandLineArguments.prepared(arguments))
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      end(ExitCode.success.rawValue)
    } catch {
      end(report(error, verb))
    }
  }

  /// Prints help or what is wrong.
  ///
  /// - Returns: the exit code.
  private static func report(_ error: any Error, _ verb: Verb) -> Int32 {
    let code = RootCommand.exitCode(for: error).rawValue
    guard code != 0 else {
      // What is wrapped too early cannot be wrapped again.
      let text = RootCommand.fullMessage(for: error, columns: .max >> 8)
      // The version and scripts for completion come this way too.
      let isHelp = text.hasPrefix("OVERVIEW: ")
      Console.writeOutput(
        (isHelp ? HelpText(text, columns: HelpText.columns).text : text) + "\n")
      return code
    }
    let message = verb.message(for: error)
    guard !message.isEmpty else { return code }
    let usage = code == ExitStatus.usage ? verb.usage(after: error) : ""
    ErrorReport.tell(message, code, usage: usage)
    return code
  }

  /// Ends without the exit handlers of libraries, which may wait for threads that could not get
  /// memory. Nothing of ours is buffered.
  private static func end(_ code: Int32) -> Never { _exit(code) }
}
