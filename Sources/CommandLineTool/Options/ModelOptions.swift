import ArgumentParser
import ComputeCPU
import Foundation
import ModelFiles
import TextToImage

/// Which model to run.
struct ModelOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("m")], parsing: .unconditional,
    help: ArgumentHelp(
      "A diffusers folder, a folder of downloads, a repository in the hub's cache, or a GGUF or "
        + "safetensors file with all parts. Default: the model that comes with the program.",
      valueName: "path"), completion: .file())
  var model: String?

  @OptionGroup var parts: PartOptions

  /// The paths to open; the shipped model if none is named.
  func paths() throws -> ModelPaths {
    var paths = parts.paths(model: model)
    let isWhole = parts.transformer != nil && parts.textEncoder != nil && parts.vae != nil
    if model == nil, !isWhole {
      // A single other part replaces the shipped model's; a whole other model is named by parts.
      guard parts.transformer == nil, parts.textEncoder == nil else { return paths }
      paths.model = try ShippedModel.path()
    }
    return paths
  }

  /// Facts given by flags.
  func hints() -> ArchitectureHints { parts.hints() }

  /// Opens the model.
  ///
  /// - Parameters:
  ///   - path: the model where it is an argument by itself instead of `--model`.
  ///   - memory: how much memory to use, and how to get at files.
  ///   - precision: how products quantize their activations.
  ///   - threads: how many threads compute; one per core if nil.
  /// - Returns: the model, and its name without folders.
  /// - Throws: `ValidationError` for a model named twice, `ModelFileError` for files that are not a
  ///   model.
  func open(
    path: String? = nil, memory: MemoryOptions, precision: PrecisionOptions, threads: Int?
  ) throws -> (pipeline: Pipeline, name: String) {
    var options = self
    if let path {
      guard model == nil else {
        throw ValidationError("the model is named twice: '\(path)' and --model")
      }
      options.model = path
    }
    var paths = try options.paths()
    paths.access = memory.io
    let pipeline = try Pipeline(
      paths, hints: hints(), threadCount: threads, activations: precision.activations,
      memory: memory.memory.budget)
    let name = FileSystem.stem(of: paths.parts["transformer"] ?? paths.model ?? "")
    return (pipeline, FilePaths.shown(name))
  }
}

/// How products with quantized weights quantize their activations.
struct PrecisionOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Precision of activations in products with quantized weights: auto, int8 or exact.",
      valueName: "mode"))
  var activations = ActivationPrecision.auto
}

extension ActivationPrecision: ExpressibleByArgument {}

/// The files of single parts, and facts that no file may tell.
struct PartOptions: ParsableArguments {
  @Option(
    name: [.long, .customLong("diffusion-model")], parsing: .unconditional,
    help: ArgumentHelp("The transformer (GGUF, safetensors or folder).", valueName: "path"),
    completion: .file())
  var transformer: String?

  @Option(
    name: [.long, .customLong("t5xxl")], parsing: .unconditional,
    help: ArgumentHelp("The text encoder (GGUF, safetensors or folder).", valueName: "path"),
    completion: .file())
  var textEncoder: String?

  @Option(
    name: [.long, .customLong("taesd")], parsing: .unconditional,
    help: ArgumentHelp(
      "The image decoder: AutoencoderKL, or a tiny one (TAESD) for speed.", valueName: "path"),
    completion: .file())
  var vae: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "The tokenizer: a folder, tokenizer.json, tokenizer.model, or a GGUF with a vocabulary.",
      valueName: "path"), completion: .file())
  var tokenizer: String?

  @OptionGroup var architecture: ArchitectureOptions

  @Flag(
    name: [.long],
    help: "Skip tensors that belong to no part of the model and lie in no layer of it.")
  var allowExtraTensors = false

  /// The paths of the parts, beside a whole model's.
  func paths(model: String?) -> ModelPaths {
    ModelPaths(
      model: model, transformer: transformer, textEncoder: textEncoder, autoencoder: vae,
      tokenizer: tokenizer)
  }

  /// Facts given by flags.
  func hints() -> ArchitectureHints {
    var hints = architecture.hints()
    hints.allowsExtraTensors = allowExtraTensors
    return hints
  }
}
