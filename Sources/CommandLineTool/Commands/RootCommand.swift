import ArgumentParser
import TextToImage

/// The `auraflow` program's verbs.
struct RootCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "auraflow",
    abstract: "Text-to-image with AuraFlow and FLUX.1 models, on an ordinary CPU.",
    discussion: """
      Opens checkpoints as they are published: diffusers folders, single files, and separate GGUF
      or safetensors files. Without --model it uses the small model that comes with it:

        auraflow generate --prompt "a red apple on a blue background" --output apple.png

      Results go to stdout, everything else to stderr: on a terminal a bar, elsewhere a line now and
      then, with --quiet nothing but errors. NO_COLOR and TERM are heeded. With --json an error is
      JSON too, one line on stderr:

        {"error": {"message": "...", "exitCode": 66, "kind": "missingInput"}}

      Exit codes, with their kinds: 0 done, 64 wrong usage (usage), 65 damaged or unfit model
      (badData), 66 file missing (missingInput), 69 kind of model not supported (unsupported), 71 out
      of memory (outOfMemory), 73 cannot create a file (cannotWrite), 74 cannot read or write
      (inputOutput), 130 interrupted.

      Sizes: 8G, 600M, 4096K are powers of 1024, as for ulimit; so are GiB, MiB, KiB. GB, MB and KB
      are powers of 1000. File names may be any bytes; a byte that is not UTF-8 is shown
      as \\xE9, in JSON too.

      Completion of verbs, options, values and files, for each shell:

        auraflow --generate-completion-script bash > ~/.local/share/bash-completion/completions/auraflow
        auraflow --generate-completion-script zsh > ~/.zfunc/_auraflow    # with fpath+=~/.zfunc before compinit
        auraflow --generate-completion-script fish > ~/.config/fish/completions/auraflow.fish
      """,
    version: "auraflow 0.1.0",
    subcommands: [
      GenerateCommand.self, EncodeCommand.self, DecodeCommand.self, PlanCommand.self,
      ConvertCommand.self, CompareCommand.self,
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
