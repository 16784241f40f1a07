import ModelFiles

/// Which files make up a model: one path for everything, or one for each part.
public struct ModelPaths: Sendable, Equatable {
  /// A diffusers folder or a file with several parts.
  public var model: String?
  /// Files of single parts instead of the model's, by the parts' names in `model_index.json`:
  /// `transformer`, `text_encoder`, `vae`.
  public var parts: [String: String] = [:]
  /// The tokenizer: a folder, `tokenizer.json`, a SentencePiece model, or a GGUF with a vocabulary.
  public var tokenizer: String?
  /// A GGUF file with matrices, under our names, that take the place of the model's own.
  package var overlay: String?
  /// How the tensors' bytes are accessed.
  public var access = FileAccess.mmap

  /// Names the files of a model; to generate, at least `model` or every part and the tokenizer are
  /// needed.
  public init(
    model: String? = nil, transformer: String? = nil, textEncoder: String? = nil,
    autoencoder: String? = nil, tokenizer: String? = nil
  ) {
    self.model = model
    self.tokenizer = tokenizer
    parts["transformer"] = transformer
    parts["text_encoder"] = textEncoder
    parts["vae"] = autoencoder
  }
}

/// Facts that tensors cannot tell, for checkpoints that come without configuration.
public struct ArchitectureHints: Sendable, Equatable {
  /// By the keys of settings.
  private(set) var values: [String: Double] = [:]
  /// Whether tensors that belong to no part are skipped instead of refused.
  public var allowsExtraTensors = false

  /// Gives no hints.
  public init() {}

  /// A hint by the key of its setting.
  package subscript(key key: String) -> Double? {
    get { values[key] }
    set { values[key] = newValue }
  }

  private subscript(count key: String) -> Int? {
    get { values[key].flatMap { Int(exactly: $0) } }
    set { values[key] = newValue.map(Double.init) }
  }
}

extension ArchitectureHints {
  /// Elements of one attention head of the transformer.
  public var headDimension: Int? {
    get { self[count: "head_dimension"] }
    set { self[count: "head_dimension"] = newValue }
  }
  /// Groups of the VAE's group normalizations.
  public var normGroups: Int? {
    get { self[count: "norm_groups"] }
    set { self[count: "norm_groups"] = newValue }
  }
  /// Factor between VAE latents and the latents that are denoised.
  public var scalingFactor: Double? {
    get { self[key: "scaling_factor"] }
    set { self[key: "scaling_factor"] = newValue }
  }
  /// Distance from which the text encoder's position buckets are all one.
  public var relativeMaxDistance: Int? {
    get { self[count: "relative_max_distance"] }
    set { self[count: "relative_max_distance"] = newValue }
  }
}

extension ArchitectureHints: CustomStringConvertible {
  /// The same text for the same hints: caches are named by it.
  public var description: String {
    let hints = values.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    return "hints[\(hints.joined(separator: ", "))] extra tensors \(allowsExtraTensors)"
  }
}
