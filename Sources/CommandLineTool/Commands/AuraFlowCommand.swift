import ArgumentParser
import Foundation
import TextToImage
import Kernels
import ModelFiles

/// Parses the command line, runs the verb and ends the program with its exit code.
@main
enum Program {
  static func main() async {
    if let complaint = KernelSelection.complaint {
      Console.writeError("error: \(complaint.withoutControlCharacters)\n")
      end(ExitStatus.usage)
    }
    if let complaint = AddressSpace.prepare() {
      Console.writeError("error: \(complaint)\n")
      end(ExitStatus.outOfMemory)
    }
    MappingFaults.endProcess(exitCode: ExitStatus.inputOutput)
    do {
      var command = try AuraFlowCommand.parseAsRoot(
        CommandLineArguments.joiningDashes(Array(CommandLine.arguments.dropFirst())))
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      end(ExitCode.success.rawValue)
    } catch {
      let code = AuraFlowCommand.exitCode(for: error).rawValue
      // Help and version are results; arguments quoted in errors may hold anything.
      let lines = AuraFlowCommand.fullMessage(for: error).split(
        separator: "\n", omittingEmptySubsequences: false)
      let text = lines.map { String($0).withoutControlCharacters }.joined(separator: "\n")
      if !text.isEmpty {
        if code == 0 { Console.writeOutput(text + "\n") } else { Console.writeError(text + "\n") }
      }
      end(code)
    }
  }

  /// Ends without the exit handlers of libraries, which may wait for threads that could not get
  /// memory. Nothing of ours is buffered.
  private static func end(_ code: Int32) -> Never { _exit(code) }
}

/// The `auraflow` program's verbs.
struct AuraFlowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "auraflow",
    abstract: "Text-to-image with AuraFlow models, on an ordinary CPU.",
    discussion: """
      Opens checkpoints as they are published: diffusers folders, single files, and separate GGUF
      or safetensors files. Without --model it uses the small model that comes with it:

        auraflow generate --prompt "a red apple on a blue background" --output apple.png

      Exit codes: 0 done, 64 wrong usage, 65 damaged or unfit model, 66 file missing, 69 kind of
      model not supported, 71 out of memory, 73 cannot create a file, 74 cannot read or write,
      130 interrupted.
      """,
    version: "auraflow 0.1.0",
    subcommands: [
      GenerateCommand.self, PlanCommand.self, ConvertCommand.self, CompareCommand.self,
      ImatrixCommand.self, SynthesizeCommand.self, InspectCommand.self, BenchCommand.self,
    ])
}

/// Options of verbs that only tell something.
struct ReportOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("t")], parsing: .unconditional,
    help: ArgumentHelp("Threads to compute on (default: all cores).", valueName: "count"))
  var threads: Int?

  @Flag(name: .long, help: "Print the result as JSON.")
  var json = false

  /// The threads asked for, or all cores.
  var threadCount: Int { threads ?? availableCoreCount() }

  mutating func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads \(threads) is outside of 1...1024")
    }
  }
}

/// Options of verbs that write files.
struct CommonOptions: ParsableArguments {
  @OptionGroup var report: ReportOptions

  @Flag(name: [.long, .customShort("q")], help: "Print nothing but errors.")
  var quiet = false

  @Flag(name: [.long, .customShort("v")], help: "Say what is being done.")
  var verbose = false

  @Flag(name: .long, help: "Replace existing output files.")
  var force = false

  var threads: Int? { report.threads }
  var threadCount: Int { report.threadCount }
  var json: Bool { report.json }

  mutating func validate() throws {
    if quiet && verbose { throw ValidationError("--quiet and --verbose contradict each other") }
  }
}
