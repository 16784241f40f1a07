import ModelFiles

/// Which files make up a model: one path for everything, or one for each part.
public struct ModelPaths: Sendable, Equatable {
  /// A diffusers folder or a file with several parts.
  public var model: String?
  /// The transformer, instead of the model's.
  public var transformer: String?
  /// The text encoder, instead of the model's.
  public var textEncoder: String?
  /// The image decoder, instead of the model's.
  public var autoencoder: String?
  /// The tokenizer: a folder, `tokenizer.json`, a SentencePiece model, or a GGUF with a vocabulary.
  public var tokenizer: String?
  /// A GGUF file with matrices, under our names, that take the place of the model's own.
  package var overlay: String?
  /// How the tensors' bytes are got at.
  public var access = FileAccess.mmap

  /// Names the files of a model; at least `model` or all four parts are needed to generate.
  public init(
    model: String? = nil, transformer: String? = nil, textEncoder: String? = nil,
    autoencoder: String? = nil, tokenizer: String? = nil
  ) {
    self.model = model
    self.transformer = transformer
    self.textEncoder = textEncoder
    self.autoencoder = autoencoder
    self.tokenizer = tokenizer
  }

  func path(of part: ModelPart) -> String? {
    switch part {
    case .transformer: transformer
    case .textEncoder: textEncoder
    case .autoencoder: autoencoder
    }
  }
}

/// Facts that tensors cannot tell, for checkpoints that come without configuration.
public struct ArchitectureHints: Sendable, Equatable {
  /// Elements of one attention head of the transformer.
  public var headDimension: Int?
  /// Groups of the VAE's group normalizations.
  public var normGroups: Int?
  /// Factor between VAE latents and the latents that are denoised.
  public var scalingFactor: Double?
  /// Distance from which the text encoder's position buckets are all one.
  public var relativeMaxDistance: Int?
  /// Whether tensors that belong to no part are skipped instead of refused.
  public var allowsExtraTensors = false

  /// Gives no hints.
  public init() {}
}
