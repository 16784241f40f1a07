import ModelFiles

/// Which files make up a model: one path for everything, or one for each part.
public struct ModelPaths: Sendable, Equatable {
  /// A diffusers folder or a file with several parts.
  public var model: String?
  /// Files of single parts instead of the model's, by the command line's options without dashes,
  /// which say what a network is: `transformer`, `text-encoder`, `t5xxl`, `clip-l`, `vae`.
  public var parts: [String: String] = [:]
  /// Tokenizers instead of the model's, each a folder or file, by the command line's options
  /// without dashes: `tokenizer`, `clip-tokenizer`.
  public var tokenizers: [String: String] = [:]
  /// The encoder of pictures, where the autoencoder's file has none: an `AutoencoderKL`, or a tiny
  /// encoder.
  public var encoder: String?
  /// GGUF files with matrices, under our names, that take the place of the model's own.
  package var overlays: [String] = []
  /// Adapters that are applied to the model's weights, all to the stored ones: their order does not
  /// count.
  public var adapters: [AdapterPath] = []
  /// Whether text encoders and tokenizers are opened. Without them none has to be there, and
  /// pictures are made from embeds alone.
  public var opensTextEncoders = true
  /// How the tensors' bytes are accessed.
  public var access = FileAccess.mmap

  /// Names the files of a model; to generate, at least `model` or every part and its tokenizers are
  /// needed. What a family does not have is refused when the model is opened.
  public init(
    model: String? = nil, transformer: String? = nil, textEncoder: String? = nil,
    t5xxl: String? = nil, clipL: String? = nil, autoencoder: String? = nil,
    tokenizer: String? = nil, clipTokenizer: String? = nil
  ) {
    self.model = model
    parts["transformer"] = transformer
    parts["text-encoder"] = textEncoder
    parts["t5xxl"] = t5xxl
    parts["clip-l"] = clipL
    parts["vae"] = autoencoder
    tokenizers["tokenizer"] = tokenizer
    tokenizers["clip-tokenizer"] = clipTokenizer
  }

  /// The tokenizer of the only text encoder, or of T5: a folder, `tokenizer.json`, a SentencePiece
  /// model, or a GGUF with a vocabulary.
  public var tokenizer: String? {
    get { tokenizers["tokenizer"] }
    set { tokenizers["tokenizer"] = newValue }
  }
}

extension ModelPaths {
  /// The file that is named for a place; nil if none is.
  package func part(_ slot: Slot) -> String? {
    slot.options.lazy.compactMap { parts[$0] }.first
  }

  /// Whether a family has places for all parts and tokenizers that are named.
  func fit(_ family: FamilyDescription) -> Bool {
    parts.keys.allSatisfy(family.slots.flatMap(\.options).contains)
      && tokenizers.keys.allSatisfy(family.tokenizers.map(\.option).contains)
  }

  /// Refuses names for what a family does not have, and two names for one place.
  ///
  /// - Parameter family: the family of the model.
  /// - Throws: `ModelFileError` with the options that there are.
  func check(for family: FamilyDescription) throws(ModelFileError) {
    func refuse(
      _ kind: String, _ named: [String: String], _ known: [String], all: [String]
    ) throws(ModelFileError) {
      for (option, path) in named.sorted(by: { $0.key < $1.key }) where !all.contains(option) {
        throw ModelFileError(
          path: "--\(option) \(path)", kind: .unsupported,
          fault: "\(family.modelPhrase) has no such \(kind): name its \(kind)s with "
            + known.map { "--" + $0 }.joined(separator: ", "))
      }
    }
    try refuse(
      "part", parts, family.slots.map(\.option), all: family.slots.flatMap(\.options))
    let options = family.tokenizers.map(\.option)
    try refuse("tokenizer", tokenizers, options, all: options)
    for slot in family.slots {
      let named = slot.options.filter { parts[$0] != nil }
      guard named.count > 1 else { continue }
      throw ModelFileError(
        path: parts[named[0]] ?? "", kind: .contradicted,
        fault: "the \(slot.name) is named by "
          + named.map { "--" + $0 }.joined(separator: " and ") + ": give one of them")
    }
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

extension ArchitectureHints {
  /// Refuses hints about what none of a family's networks has.
  ///
  /// - Parameters:
  ///   - family: the family of the model.
  ///   - catalog: all families, which know what flags the hints have.
  /// - Throws: `ModelFileError` naming the flag.
  func check(for family: FamilyDescription, _ catalog: FamilyCatalog) throws(ModelFileError) {
    func settings(_ families: [FamilyDescription]) -> [Setting] {
      families.flatMap(\.slots).flatMap(\.networks).flatMap(\.settings)
    }
    let known = Set(settings([family]).map(\.key))
    for (key, value) in values.sorted(by: { $0.key < $1.key }) where !known.contains(key) {
      let setting = settings(catalog.families).first { $0.key == key }
      let text = Int(exactly: value).map { "\($0)" } ?? "\(value)"
      throw ModelFileError(
        path: "\(setting?.nameForMessages ?? key) \(text)", kind: .unsupported,
        fault: "\(family.modelPhrase) has nothing that this would set")
    }
  }
}

extension ArchitectureHints: CustomStringConvertible {
  /// The same text for the same hints: caches are named by it.
  public var description: String {
    let hints = values.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    return "hints[\(hints.joined(separator: ", "))] extra tensors \(allowsExtraTensors)"
  }
}
