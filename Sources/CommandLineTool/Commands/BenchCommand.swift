import ArgumentParser
import Benchmarks
import BlockFormats
import Compute
import ComputeCPU
import Foundation
import ModelFiles

/// Measures the machine with the shapes of the real models.
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract:
      "Measure this machine: products with weights, attention, blocks, decoder, quantizers.",
    subcommands: [
      MatrixProducts.self, Attention.self, Accuracy.self, Blocks.self, Steps.self, Decoders.self,
      Quantizers.self,
    ])

  /// `bench matmul`.
  struct MatrixProducts: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "matmul",
      abstract: "Products of activations with stored weights, for each type.",
      discussion: """
        Shapes are those of AuraFlow's blocks at 512x512 (1088 rows) and 1024x1024 (4200 rows). Peak
        is what the instruction that does the work reaches in registers; OpenBLAS multiplies the same
        shapes in float32.

          auraflow bench matmul
          auraflow bench matmul --types q4_K,q8_0 --rows 1,1088 --json

        FLUX.1-dev has 1536 rows at 512x512 and 4608 at 1024x1024, its single blocks these shapes:

          auraflow bench matmul --rows 1536,4608 --shapes 21504x3072,3072x15360
        """)

    @Option(
      name: .long,
      help: ArgumentHelp(
        "Types, separated by commas (default: all that \"convert\" makes).", valueName: "list"))
    var types: String?

    @Option(
      name: .long,
      help: ArgumentHelp("Rows of activations, separated by commas.", valueName: "list"))
    var rows = "1088,4200"

    @Option(
      name: .long, help: ArgumentHelp("Weights as OUTxIN, separated by commas.", valueName: "list"))
    var shapes = "3072x3072,8192x3072"

    @Option(name: .long, help: "Runs of which the median counts.")
    var repetitions = 5

    @Flag(
      inversion: .prefixedNo, help: "Multiply the same shapes in float32 with OpenBLAS, to compare."
    )
    var openblas = true

    @OptionGroup var precision: PrecisionOptions
    @OptionGroup var common: ReportOptions

    func run() async throws {
      try await reportingFailure {
        let types = try types.map { try Self.parseTypes($0) } ?? Self.madeTypes
        let rows = try rows.split(separator: ",").map { try Self.number($0, "--rows") }
        let shapes = try shapes.split(separator: ",").map { try Self.shape($0) }
        let device = CPUDevice(
          threadCount: common.threadCount, activations: precision.activations)
        var results: [MatrixProductResult] = []
        for shape in shapes {
          if let type = types.first(where: { $0.byteCount(elements: shape.input) == nil }) {
            throw ValidationError(
              "--shapes: \(shape.input) columns are not a multiple of "
                + "the block size of \(type.name)")
          }
          for count in rows {
            let benchmark = MatrixProductBenchmark(
              input: shape.input, output: shape.output, rows: count)
            let dense =
              openblas
              ? try benchmark.denseSeconds(repetitions: repetitions, threads: device.threadCount)
              : nil
            for type in types {
              let result = try benchmark.run(
                type, repetitions: repetitions, denseSeconds: dense, on: device)
              results.append(result)
              if !common.json { Self.printLine(result) }
            }
          }
        }
        if common.json { try BenchCommand.printJSON(results) }
      }
    }

    /// The types that `convert` makes, from the smallest.
    static let madeTypes: [ElementType] = ElementType.conversionTargets.reversed()
    /// Those, and what can only be read.
    private static let allTypes =
      madeTypes + ElementType.ggufTypes.filter { $0.isWeightType && !madeTypes.contains($0) }

    private static func parseTypes(_ list: String) throws -> [ElementType] {
      try list.split(separator: ",").map { name in
        guard let type = allTypes.first(where: { $0.name.lowercased() == name.lowercased() }) else {
          throw ValidationError(
            "--types: '\(name)' is not one of " + allTypes.map(\.name).joined(separator: ", "))
        }
        return type
      }
    }

    static func number(_ text: Substring, _ option: String) throws -> Int {
      guard let number = Int(text), (1...1_000_000).contains(number) else {
        throw ValidationError("\(option): '\(text)' is not an integer from 1 to 1000000")
      }
      return number
    }

    private static func shape(_ text: Substring) throws -> (output: Int, input: Int) {
      let parts = text.split(separator: "x", omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        throw ValidationError("--shapes: '\(text)' is not of the form OUTxIN")
      }
      return (try number(parts[0], "--shapes"), try number(parts[1], "--shapes"))
    }

    private static func printLine(_ result: MatrixProductResult) {
      let type = result.type.padding(toLength: 7, withPad: " ", startingAt: 0)
      let shape = "\(result.out)x\(result.in) * \(result.rows)"
        .padding(toLength: 18, withPad: " ", startingAt: 0)
      let dense = result.timesOpenBLAS.map { String(format: "%5.1f times OpenBLAS  ", $0) } ?? ""
      Console.writeOutput(
        String(
          format: "%@ %@ %8.1f GFLOP/s %4.0f %% of peak %7.2f GB/s  %@%@\n", type, shape,
          result.gflops, 100 * result.shareOfPeak, result.gigabytesPerSecond, dense,
          result.activations))
    }
  }

  /// `bench attention`.
  struct Attention: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "attention",
      abstract: "Softmax attention over a picture's tokens, for AuraFlow's 12 heads of 256.",
      discussion: """
        FLUX.1 has 24 heads of 128:

          auraflow bench attention --heads 24 --head-dim 128 --tokens 1536,4608
        """)

    @Option(name: .long, help: ArgumentHelp("Tokens, separated by commas.", valueName: "list"))
    var tokens = "1088,4200"

    @Option(name: .long, help: "Heads.")
    var heads = 12

    @Option(name: .long, help: "Elements of one head.")
    var headDim = 256

    @Option(name: .long, help: "Runs of which the median counts.")
    var repetitions = 5

    @OptionGroup var common: ReportOptions

    func run() async throws {
      try await reportingFailure {
        let device = CPUDevice(threadCount: common.threadCount)
        var results: [AttentionResult] = []
        for count in try tokens.split(separator: ",").map({
          try MatrixProducts.number($0, "--tokens")
        }) {
          let benchmark = AttentionBenchmark(tokens: count, heads: heads, headDimension: headDim)
          let result = try benchmark.run(repetitions: repetitions, on: device)
          results.append(result)
          if !common.json {
            Console.writeOutput(
              String(
                format: "%d tokens: %8.1f GFLOP/s, %.4f s\n", count, result.gflops, result.seconds))
          }
        }
        if common.json { try BenchCommand.printJSON(results) }
      }
    }
  }

  /// `bench accuracy`.
  struct Accuracy: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "accuracy",
      abstract: "What quantizing activations to 8 or 16 bits adds to each type's own error.",
      discussion: """
        Errors are relative to the exact product; the total is the root of both squares' sum.

          auraflow bench accuracy
          auraflow bench accuracy --rows rows.safetensors --activations int8
        """)

    @Option(
      name: .long,
      help: ArgumentHelp(
        "Rows of activations, [count, columns] tensors (default: normally distributed).",
        valueName: "file"))
    var rows: String?

    @OptionGroup var precision: PrecisionOptions
    @OptionGroup var common: ReportOptions

    func run() async throws {
      try await reportingFailure {
        let rows = try rows.map { try Self.read($0) } ?? normalRows(count: 64, columns: 3072)
        let device = CPUDevice(threadCount: common.threads ?? 1, activations: precision.activations)
        let results = try ActivationAccuracy.types.map {
          try ActivationAccuracy(type: $0).run(rows: rows, on: device)
        }
        if common.json { return try BenchCommand.printJSON(results) }
        Console.writeOutput(
          "type    weights  activations     ours     ggml   growth: ours   ggml\n")
        for result in results {
          let type = result.type.padding(toLength: 7, withPad: " ", startingAt: 0)
          let kind = result.activations.padding(toLength: 8, withPad: " ", startingAt: 0)
          Console.writeOutput(
            String(
              format: "%@ %8.4f  %@    %8.5f %8.5f        %5.1f %% %5.1f %%\n", type,
              result.weightError, kind, result.activationError, result.ggmlActivationError,
              100 * result.growth, 100 * result.ggmlGrowth))
        }
      }
    }

    /// Rows of all two-dimensional tensors.
    private static func read(_ path: String) throws -> [[Float]] {
      let archive = try TensorArchive(path: path)
      return try archive.tensors.records.enumerated().flatMap { index, record -> [[Float]] in
        guard record.shape.count == 2, record.type.isDecodable, record.elementCount > 0 else {
          return []
        }
        let values = try archive.values(of: index)
        return stride(from: 0, to: values.count, by: record.shape[1]).map {
          Array(values[$0..<$0 + record.shape[1]])
        }
      }
    }
  }

  /// Prints a list under `results`.
  static func printJSON(_ results: [some Encodable]) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    let data = try encoder.encode(["results": results])
    Console.writeOutput(String(decoding: data, as: UTF8.self) + "\n")
  }
}
