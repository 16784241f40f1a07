import ArgumentParser
import Foundation
import ModelFiles
import TextToImage

/// Which model to run.
struct ModelOptions: ParsableArguments {
  @Option(
    name: [.long, .customShort("m")], parsing: .unconditional,
    help: ArgumentHelp(
      "A diffusers folder, or a GGUF or safetensors file with all parts. Default: the model that "
        + "comes with the program.", valueName: "path"))
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

  /// The model's name without folders.
  func displayName(_ paths: ModelPaths) -> String {
    let path = paths.transformer ?? paths.model ?? ""
    return URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
  }
}

/// The files of single parts, and facts that no file may tell.
struct PartOptions: ParsableArguments {
  @Option(
    name: [.long, .customLong("diffusion-model")], parsing: .unconditional,
    help: ArgumentHelp("The transformer (GGUF, safetensors or folder).", valueName: "path"))
  var transformer: String?

  @Option(
    name: [.long, .customLong("t5xxl")], parsing: .unconditional,
    help: ArgumentHelp("The text encoder (GGUF, safetensors or folder).", valueName: "path"))
  var textEncoder: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "The image decoder: AutoencoderKL, or a tiny one (TAESD) for speed.", valueName: "path"))
  var vae: String?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "The tokenizer: a folder, tokenizer.json, tokenizer.model, or a GGUF with a vocabulary.",
      valueName: "path"))
  var tokenizer: String?

  @OptionGroup var architecture: ArchitectureOptions

  @Flag(name: [.long], help: "Skip tensors that belong to no part of the model.")
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
