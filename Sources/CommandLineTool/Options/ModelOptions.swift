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
  @OptionGroup var adapters: AdapterOptions

  /// The paths to open; the shipped model if none is named.
  func paths() throws -> ModelPaths {
    var paths = parts.paths(model: model)
    // Another decoder or tokenizer replaces the shipped model's; another model is named by parts.
    if model == nil, !parts.nameModel { paths.model = try ShippedModel.path() }
    paths.adapters = adapters.paths
    return paths
  }

  /// Facts given by flags.
  func hints() -> ArchitectureHints { parts.hints() }

  /// Opens the model.
  ///
  /// - Parameters:
  ///   - path: the model where it is an argument by itself instead of `--model`.
  ///   - encoder: the encoder of pictures, where the model's autoencoder has none.
  ///   - memory: how much memory to use, and how to get at files.
  ///   - precision: how products quantize their activations.
  ///   - threads: how many threads compute; one per core if nil.
  ///   - readsTexts: whether text encoders are needed.
  /// - Returns: the model, and its name without folders.
  /// - Throws: `ValidationError` for a model named twice, `ModelFileError` for files that are not a
  ///   model.
  func open(
    path: String? = nil, encoder: String? = nil, memory: MemoryOptions, precision: PrecisionOptions,
    threads: Int?, readsTexts: Bool = true
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
    paths.encoder = encoder
    paths.opensTextEncoders = readsTexts
    let pipeline = try Pipeline(
      paths, hints: hints(), threadCount: threads, activations: precision.activations,
      memory: memory.memory.budget)
    let name = FileSystem.stem(of: paths.parts["transformer"] ?? paths.model ?? "")
    return (pipeline, FilePaths.shown(name) + options.adapters.suffix)
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
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "The text encoder of a model with one (GGUF, safetensors or folder).", valueName: "path"),
    completion: .file())
  var textEncoder: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp("The text encoder T5 (GGUF, safetensors or folder).", valueName: "path"),
    completion: .file())
  var t5xxl: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp("The text encoder CLIP-L (GGUF, safetensors or folder).", valueName: "path"),
    completion: .file())
  var clipL: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "The image decoder: AutoencoderKL, or a tiny one (TAESD) for speed.", valueName: "path"),
    completion: .file())
  var vae: String?

  @Option(
    name: [.long, .customLong("taesd")], parsing: .unconditional,
    help: ArgumentHelp("The same as --vae, for a tiny decoder.", valueName: "path"),
    completion: .file())
  var tae: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "The tokenizer: a folder, tokenizer.json, tokenizer.model, or a GGUF with a vocabulary.",
      valueName: "path"), completion: .file())
  var tokenizer: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "CLIP's tokenizer: a folder, merges.txt, tokenizer.json, or a GGUF with one.",
      valueName: "path"), completion: .file())
  var clipTokenizer: String?

  @OptionGroup var architecture: ArchitectureOptions

  @Flag(
    name: [.long],
    help: "Skip tensors that belong to no part of the model and lie in no layer of it.")
  var allowExtraTensors = false

  mutating func validate() throws {
    if vae != nil, tae != nil {
      throw ValidationError("--vae and --tae name the same part: give one of them")
    }
  }

  /// Files of parts by their options, in the order of help.
  private var files: [(option: String, path: String?)] {
    [
      ("transformer", transformer), ("text-encoder", textEncoder), ("t5xxl", t5xxl),
      ("clip-l", clipL), ("vae", vae), ("tae", tae),
    ]
  }

  /// Tokenizers by their options.
  private var tokenizers: [(option: String, path: String?)] {
    [("tokenizer", tokenizer), ("clip-tokenizer", clipTokenizer)]
  }

  /// What was named, by options without dashes, in the order of help.
  var named: [(option: String, path: String)] {
    (files + tokenizers).compactMap { option, path in path.map { (option, $0) } }
  }

  /// Whether parts are named that make another model than the shipped one.
  var nameModel: Bool {
    files.contains { $0.path != nil && !["vae", "tae"].contains($0.option) }
  }

  /// The paths of the parts, beside a whole model's.
  func paths(model: String?) -> ModelPaths {
    var paths = ModelPaths(model: model)
    for (option, path) in files { paths.parts[option] = path }
    for (option, path) in tokenizers { paths.tokenizers[option] = path }
    return paths
  }

  /// Facts given by flags.
  func hints() -> ArchitectureHints {
    var hints = architecture.hints()
    hints.allowsExtraTensors = allowExtraTensors
    return hints
  }
}
