import ArgumentParser
import BitAllocation
import Checkpoints
import Conversion
import Foundation
import ModelCatalog
import ModelFiles
import TextToImage

/// What the arguments of a conversion ask for.
extension ConvertCommand {
  func request() throws -> ConversionPlan.Request {
    guard size.isUsed == (type == nil) else {
      throw ValidationError(
        size.isUsed
          ? "--type and a target size contradict each other"
          : "name the --type, or a --target-size or --target-bpw; types are "
            + TypeMix.all.map(\.name).joined(separator: ", "))
    }
    if size.isUsed, preset != .published {
      throw ValidationError("--preset and a target size contradict each other")
    }
    // With a target: what is measured first, until the types are known.
    let type = type ?? "q4_K"
    guard let mix = TypeMix(named: type) else {
      throw ValidationError(
        "--type: '\(type)' is not one of " + TypeMix.all.map(\.name).joined(separator: ", "))
    }
    if preset == .pure, mix.size != nil {
      throw ValidationError("--preset pure makes no mix: name a type such as \(mix.base.name)")
    }
    try expectPartsInUse()
    var request = ConversionPlan.Request(mix)
    request.preset = preset
    if preset == .fitted { request.calibration = ModulationInputs.calibration }
    request.rules = try rule.map { try TypeRule($0) }
    guard let output else {
      guard dryRun else {
        throw ValidationError("name the file to write, or pass --dry-run to see what it would hold")
      }
      return request
    }
    try StandardStreams.expectName(output, "a model")
    switch output.hasSuffix("/") ? "" : FileSystem.fileExtension(of: output) {
    case "gguf": request.container = .gguf
    case "safetensors": request.container = .safetensors
    case "": request.container = .folder
    default:
      throw ValidationError(
        "'\(output)' ends neither in .gguf nor in .safetensors, nor in / for a diffusers folder")
    }
    if preset == .fitted, request.container != .gguf {
      throw ValidationError("--preset fitted is for GGUF files: give OUT a name ending in .gguf")
    }
    if calibration.calibrate == "-",
      size.prompts.prompts == "-" || size.prompts.prompt.contains("-")
    {
      throw ValidationError("standard input can be read once only: name a file for --calibrate")
    }
    if calibration.isUsed, request.container != .gguf {
      throw ValidationError("--calibrate is for GGUF files: give OUT a name ending in .gguf")
    }
    if size.isUsed, request.container != .gguf {
      throw ValidationError("a target size is for GGUF files: give OUT a name ending in .gguf")
    }
    return request
  }

  /// Refuses files of parts that are not going to be written.
  private func expectPartsInUse() throws {
    // To measure, the whole model is run.
    guard part != .all, !size.isUsed, !calibration.isUsed else { return }
    let written = FamilyCatalog.known.families.flatMap(\.slots).filter { part == .part($0.option) }
    let used = written.flatMap { $0.options + [$0.tokenizer?.option].compactMap { $0 } }
    for (option, _) in parts.named where !used.contains(option) {
      throw ValidationError("--\(option) has no use with --part \(part.name)")
    }
  }

  /// Opens the model. A whole one must be one that generate opens.
  func source() throws -> (source: ConversionSource, pipeline: Pipeline?) {
    var (paths, hints) = (parts.paths(model: input), parts.hints())
    paths.adapters = adapters.paths
    let source = try ConversionSource(part, paths: paths, hints: hints, in: .known)
    return (source, part == .all ? try Pipeline(paths, hints: hints) : nil)
  }

  func options(_ importance: ImportanceMatrix?) -> ConversionOptions {
    var options = ConversionOptions()
    options.quality = quality
    options.measuresErrors = measure
    options.allowsNotFinite = allowNonfinite
    if let importance { options.use(importance) }
    return options
  }
}
