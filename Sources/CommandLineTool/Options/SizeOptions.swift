import ArgumentParser
import BitAllocation
import BlockFormats
import Conversion
import Foundation
import ModelFiles
import TextToImage

/// A size instead of a type, and how it is found out which tensors deserve its bits.
struct SizeOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Instead of --type: the largest file, such as 3.5GB (1000^3 bytes each; 3.5G has 1024^3); each "
        + "tensor gets the type with which the model's output suffers least.", valueName: "size"),
    transform: ByteCount.init(argument:))
  var targetSize: ByteCount?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The same by average bits of a weight, such as 3.4.", valueName: "bits"))
  var targetBpw: Double?

  @OptionGroup var prompts: PromptOptions

  @Option(
    name: .long,
    help: ArgumentHelp(
      "How often the transformer may be run to measure, about.", valueName: "count"))
  var passes = 60

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Side of the pictures on which is measured (default: the model's, at most 512).",
      valueName: "pixels"))
  var measureSide: Int?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Where measurements are kept for other sizes of the same model (default: beside OUT, named after "
        + "IN with .measured).",
      valueName: "folder"), completion: .directory)
  var measured: String?

  /// Whether a target is named.
  var isUsed: Bool { targetSize != nil || targetBpw != nil }

  mutating func validate() throws {
    if targetSize != nil, targetBpw != nil {
      throw ValidationError("--target-size and --target-bpw contradict each other")
    }
    guard measured != "" else { throw ValidationError("--measured names no folder") }
    if let targetBpw, !(targetBpw > 0 && targetBpw <= 64) {
      throw ValidationError("--target-bpw \(targetBpw) is outside of 0...64")
    }
    guard (10...100_000).contains(passes) else {
      throw ValidationError("--passes \(passes) is outside of 10...100000")
    }
    if let measureSide, !(16...4096).contains(measureSide) {
      throw ValidationError("--measure-side \(measureSide) is outside of 16...4096")
    }
    let namesPrompts = prompts.prompts != nil || !prompts.prompt.isEmpty
    if !isUsed, namesPrompts || measureSide != nil || measured != nil || passes != 60 {
      throw ValidationError(
        "--prompt, --prompts, --passes, --measure-side and --measured are for --target-size and "
          + "--target-bpw")
    }
  }

  /// Where measurements are kept.
  func folder(input: String, output: String?) -> String? {
    if let measured { return measured }
    guard let output else { return nil }
    return FileSystem.join(
      FileSystem.folder(of: output), FileSystem.stem(of: input) + ".measured")
  }

  /// Prompts to measure on.
  func texts(_ pipeline: Pipeline, _ console: Console) throws(ModelFileError) -> [String] {
    let lines = try prompts.lines() ?? BuiltInPrompts.lines(forModel: pipeline.files)
    prompts.noteIdle(Set(PromptKey.allCases), in: lines, console)
    return lines.map(\.text)
  }

  /// Bytes that the file may have.
  func byteCount(of plan: ConversionPlan) -> Int {
    if let targetSize { return targetSize.bytes }
    let elements = plan.tensors.reduce(0) { $0 + $1.elementCount }
    let header = plan.byteCount - plan.tensors.reduce(0) { $0 + $1.byteCount }
    return header + Int(Double(elements) * (targetBpw ?? 0) / 8)
  }

  /// The quantized type whose size is nearest to the target: groups are quantized to it while they
  /// are measured, so that errors are about as large as they will be.
  func probe(for plan: ConversionPlan) -> ElementType {
    let elements = plan.tensors.filter(\.isChoosable).reduce(0) { $0 + $1.elementCount }
    let fixed = plan.tensors.filter { !$0.isChoosable }.reduce(0) { $0 + $1.byteCount }
    let bits = Double(8 * (byteCount(of: plan) - fixed)) / Double(max(1, elements))
    return RoundingErrors.probes.min {
      abs($0.bitsPerElement - bits) < abs($1.bitsPerElement - bits)
    } ?? .q4_K
  }
}
