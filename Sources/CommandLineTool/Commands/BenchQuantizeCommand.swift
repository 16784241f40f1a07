import ArgumentParser
import Benchmarks
import BlockFormats
import ComputeCPU
import Foundation
import Quantization

extension BenchCommand {
  /// `bench quantize`.
  struct Quantizers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "quantize",
      abstract: "Quantization of normally distributed rows to each type: speed and error.",
      discussion: """
        Speed counts the rows as float16. With --weighted errors are weighted by an importance of
        each column, as with an importance matrix.

          auraflow bench quantize
          auraflow bench quantize --type q4_K --type q6_K --quality best --json
        """)

    @Option(
      name: .long,
      help: ArgumentHelp("A type; repeat it for more (default: all).", valueName: "type"))
    var type: [String] = []

    @Option(name: .long, help: "Rows to quantize.")
    var rows = 512

    @Option(name: .long, help: "Elements of a row, a multiple of 256.")
    var columns = 3072

    @Option(
      name: .long,
      help: ArgumentHelp("How long to search for scales: fast or best.", valueName: "quality"))
    var quality = QuantizationQuality.fast

    @Flag(name: .long, help: "Weight errors by an importance of each column.")
    var weighted = false

    @Option(name: .long, help: "Runs of which the median counts.")
    var repetitions = 3

    @Option(
      name: .long,
      help: ArgumentHelp(
        "Write the rows, then the importance of columns, to a file as float32.",
        valueName: "file"))
    var dump: String?

    @OptionGroup var common: ReportOptions

    func validate() throws {
      guard (1...100_000).contains(rows) else {
        throw ValidationError("--rows \(rows) is outside of 1...100000")
      }
      guard (256...65536).contains(columns), columns % 256 == 0 else {
        throw ValidationError("--columns \(columns) is not a multiple of 256 up to 65536")
      }
      guard rows * columns <= 1 << 28 else {
        throw ValidationError("--rows \(rows) of --columns \(columns) are more than 2^28 elements")
      }
      guard (0...1000).contains(repetitions) else {
        throw ValidationError("--repetitions \(repetitions) is outside of 0...1000")
      }
      _ = try types()
    }

    private func types() throws -> [ElementType] {
      guard !type.isEmpty else { return BlockQuantizer.types }
      return try type.map { name in
        guard
          let type = BlockQuantizer.types.first(where: {
            $0.name.lowercased() == name.lowercased()
          })
        else {
          throw ValidationError(
            "--type: '\(name)' is not one of "
              + BlockQuantizer.types.map(\.name).joined(separator: ", "))
        }
        return type
      }
    }

    func run() async throws {
      try await reportingFailure {
        let device = CPUDevice(threadCount: common.threadCount)
        let benchmark = QuantizationBenchmark(rows: rows, columns: columns)
        if let dump { try benchmark.write(to: dump) }
        var results: [QuantizationResult] = []
        for type in try types() {
          let result = try benchmark.run(
            type, quality: quality, isWeighted: weighted, repetitions: repetitions, on: device)
          guard let result else { continue }
          results.append(result)
          if !common.json { Self.printLine(result) }
        }
        if common.json { try BenchCommand.printJSON(results) }
      }
    }

    private static func printLine(_ result: QuantizationResult) {
      let type = result.type.padding(toLength: 7, withPad: " ", startingAt: 0)
      Console.writeOutput(
        String(
          format: "%@ %8.1f MB/s  relative error %.5f\n", type, result.megabytesPerSecond,
          result.relativeError))
    }
  }
}

extension QuantizationQuality: ExpressibleByArgument {}
