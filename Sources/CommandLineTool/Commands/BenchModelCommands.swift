import ArgumentParser
import Benchmarks
import Checkpoints
import ComputeCPU
import Foundation
import Machine
import ModelCatalog
import TextToImage

extension BenchCommand {
  /// `bench block`.
  struct Blocks: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "block",
      abstract: "One step through the blocks of a transformer file, which need not have all.",
      discussion: """
        The largest square of tokens that leaves room for a usual text is the image, the rest registers
        and text: of AuraFlow, 1088 tokens are a 512x512 picture with 64 others, 4200 a 1024x1024 picture
        with 104 others. FLUX.1-dev has 1536 tokens at 512x512 (1024 and 512) and 4608 at 1024x1024,
        schnell 1280 and 4352.

          auraflow bench block --transformer aura_flow_0.3-Q4_K_S.gguf --tokens 1088
          auraflow bench block --transformer flux1-dev-Q4_K_S.gguf --tokens 1536
        """)

    @Option(
      name: [.long, .customLong("diffusion-model")], parsing: .unconditional,
      help: ArgumentHelp("The transformer (GGUF, safetensors or folder).", valueName: "path"))
    var transformer: String

    @Option(name: .long, help: ArgumentHelp("Tokens, separated by commas.", valueName: "list"))
    var tokens = "1088,4200"

    @Option(name: .long, help: "Runs of which the median counts.")
    var repetitions = 3

    @Option(name: .long, help: "Steps for which modulation is made at once.")
    var steps = 25

    @OptionGroup var adapters: AdapterOptions
    @OptionGroup var precision: PrecisionOptions
    @OptionGroup var common: ReportOptions

    func run() async throws {
      try await reportingFailure {
        let counts = try tokens.split(separator: ",").map {
          try MatrixProducts.number($0, "--tokens")
        }
        guard (1...1000).contains(steps) else {
          throw ValidationError("--steps \(steps) is outside of 1...1000")
        }
        let device = CPUDevice(
          threadCount: common.threadCount, activations: precision.activations)
        let denoiser = try FamilyCatalog.known.denoiser(
          at: transformer, adapters: adapters.paths)
        var results: [BlockResult] = []
        for count in counts {
          let result = try denoiser.measureBlocks(
            tokens: count, repetitions: repetitions, steps: steps, on: device)
          results.append(result)
          if !common.json {
            Console.writeOutput(
              String(
                format: "%@ blocks, %d tokens (%d of the image): %.4f s, modulation of %d steps "
                  + "%.4f s\n",
                result.layers.map { "\($0)" }.joined(separator: " + "), result.tokens,
                result.imageTokens, result.seconds, result.steps, result.modulationSeconds))
          }
        }
        if common.json { try BenchCommand.printJSON(results) }
      }
    }
  }

  /// `bench step`.
  struct Steps: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "step",
      abstract: "One step of a usual run, split by kind of work.",
      discussion: """
        AuraFlow's step has both branches of guidance and 33 tokens of text in each, one of FLUX.1 has
        a single branch and all 512 (dev) or 256 (schnell) tokens of a padded prompt.

          auraflow bench step --transformer aura_flow_0.3-Q4_K_S.gguf -W 512 -H 512
          auraflow bench step --transformer flux1-dev-Q4_K_S.gguf --branches 2
        """)

    @Option(
      name: [.long, .customLong("diffusion-model")], parsing: .unconditional,
      help: ArgumentHelp("The transformer (GGUF, safetensors or folder).", valueName: "path"))
    var transformer: String

    @Option(name: [.long, .customShort("W")], help: "Pixels per row.")
    var width = 512

    @Option(name: [.long, .customShort("H")], help: "Rows.")
    var height = 512

    @Option(
      name: .long,
      help: ArgumentHelp(
        "Branches of guidance, 1 or 2 (default: as generate has them).", valueName: "count"))
    var branches: Int?

    @Option(
      name: .long,
      help: ArgumentHelp("Tokens of each branch's text (default: see above).", valueName: "count"))
    var textTokens: Int?

    @OptionGroup var adapters: AdapterOptions
    @OptionGroup var precision: PrecisionOptions
    @OptionGroup var common: ReportOptions

    func run() async throws {
      try await reportingFailure {
        if let branches, !(1...2).contains(branches) {
          throw ValidationError("--branches \(branches) is neither 1 nor 2")
        }
        if let textTokens, !(1...4096).contains(textTokens) {
          throw ValidationError("--text-tokens \(textTokens) is outside of 1...4096")
        }
        let denoiser = try FamilyCatalog.known.denoiser(
          at: transformer, adapters: adapters.paths)
        try Self.check(width, "--width", in: denoiser.stepSides)
        try Self.check(height, "--height", in: denoiser.stepSides)
        let result = try denoiser.measureStep(
          width: width, height: height, textTokens: textTokens, branches: branches,
          threads: common.threadCount, activations: precision.activations)
        if common.json { return try BenchCommand.printJSON([result]) }
        var lines = [
          String(
            format: "%dx%d, %d tokens%@: %.3f s", result.width, result.height, result.tokens,
            result.branches > 1 ? " of both branches" : "", result.seconds)
        ]
        var rest = result.seconds
        for (name, seconds) in result.parts.sorted(by: { $0.value > $1.value }) {
          rest -= seconds
          lines.append(Self.line(name, seconds, of: result.seconds))
        }
        lines.append(Self.line("the rest", rest, of: result.seconds))
        Console.writeOutput(lines.joined(separator: "\n") + "\n")
      }
    }

    private static func check(_ side: Int, _ name: String, in sides: ClosedRange<Int>) throws {
      let least = sides.lowerBound
      guard sides.contains(side), side % least == 0 else {
        throw ValidationError(
          "\(name) \(side) is not a multiple of \(least) from \(least) to \(sides.upperBound)")
      }
    }

    private static func line(_ name: String, _ seconds: Double, of total: Double) -> String {
      let name = name.padding(toLength: 14, withPad: " ", startingAt: 0)
      return String(format: "  %@ %8.3f s %5.1f %%", name, seconds, 100 * seconds / total)
    }
  }

  /// `bench vae`.
  struct Decoders: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "vae",
      abstract: "Decoding of one picture.",
      discussion: """
        Without --vae a decoder of the published models' sizes gets random weights.

          auraflow bench vae --size 512,1024
        """)

    @Option(
      name: .long, parsing: .unconditional,
      help: ArgumentHelp("The image decoder: AutoencoderKL, or a tiny one.", valueName: "path"))
    var vae: String?

    @Option(
      name: .long,
      help: ArgumentHelp(
        "Widths (and heights) of the picture, separated by commas.", valueName: "list"))
    var size = "512"

    @Option(name: .long, help: "Runs of which the median counts.")
    var repetitions = 3

    @Option(
      name: .long,
      help: ArgumentHelp(
        "Activations to stay within, such as 750MiB (default: the fastest way).",
        valueName: "size"), transform: ByteCount.init(argument:))
    var memory: ByteCount?

    @OptionGroup var common: ReportOptions

    func run() async throws {
      try await reportingFailure {
        let sizes = try size.split(separator: ",").map { try MatrixProducts.number($0, "--size") }
        if let size = sizes.first(where: { $0 > 16384 }) {
          throw ValidationError("--size \(size) is larger than 16384")
        }
        let device = CPUDevice(threadCount: common.threadCount)
        let benchmark = try DecoderBenchmark(path: vae)
        var results: [DecoderResult] = []
        for size in sizes {
          let result = try benchmark.run(
            size: size, repetitions: repetitions, memory: memory?.bytes, on: device)
          results.append(result)
          if !common.json { Self.printLine(result) }
        }
        if common.json { try BenchCommand.printJSON(results) }
      }
    }

    private static func printLine(_ result: DecoderResult) {
      Console.writeOutput(
        String(
          format: "%dx%d: %.4f s, %.3f megapixels/s; activations ", result.size, result.size,
          result.seconds, result.megapixelsPerSecond)
          + "\(formattedBytes(result.activationBytes)), estimated "
          + "\(formattedBytes(result.estimatedBytes)); peak resident memory so far "
          + "\(formattedBytes(peakResidentBytes()))\n")
    }
  }
}
