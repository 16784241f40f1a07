import Tokenizers

/// The place of a text encoder's tokenizer in a family.
package struct TokenizerPlace: Sendable {
  /// The name in `model_index.json`, and of the folder: `tokenizer_2`.
  package let key: String
  /// What messages call it.
  package let name: String
  /// The command line option that names a file or folder of it, without dashes.
  package let option: String
  /// How it splits text, which says in which files it comes.
  package let form: TokenizerForm
  /// Where it is published.
  package let published: String
  /// The keys under which GGUF files carry it.
  package let keys: TokenizerKeys
  /// The copy that the program keeps for models whose files have none; nil to keep none.
  package let kept: Kept?

  /// A tokenizer that belongs to so many models that it is looked for outside of a model's files.
  package struct Kept: Sendable {
    /// The name of its folder among those that the program keeps.
    package let name: String
    /// How many ids the published one has in its files. Others, such as those of small models, are
    /// never kept.
    package let idCounts: Set<Int>
    /// Repositories of Hugging Face's hub that have it, as `OWNER/NAME`.
    package let repositories: [String]

    package init(name: String, idCounts: Set<Int>, repositories: [String] = []) {
      self.name = name
      self.idCounts = idCounts
      self.repositories = repositories
    }
  }

  /// Describes a place; what the parameters mean is said at the properties.
  package init(
    _ key: String, name: String = "tokenizer", option: String = "tokenizer", form: TokenizerForm,
    published: String, keys: TokenizerKeys = TokenizerKeys(), kept: Kept? = nil
  ) {
    self.key = key
    self.name = name
    self.option = option
    self.form = form
    self.published = published
    self.keys = keys
    self.kept = kept
  }

  /// The command line flag that names it.
  package var flag: String { "--" + option }
}

/// The keys under which a GGUF file carries a tokenizer, for those who read, write and synthesize
/// files.
///
/// One tokenizer of a model, that of the encoder which reads the longest texts, has the keys that
/// other programs know: `tokenizer.ggml.*` and `tokenizer.huggingface.*`. Each other one has a name
/// in between, as in `tokenizer.clip.huggingface.merges`, so that readers of the first do not
/// mistake it.
package struct TokenizerKeys: Sendable {
  private let prefix: String

  /// - Parameter name: what tells the tokenizer from the first one, without dots; nil for the
  ///   first.
  package init(_ name: String? = nil) { prefix = name.map { "tokenizer.\($0)." } ?? "tokenizer." }

  /// The text of tokenizer.json.
  package var json: String { prefix + "huggingface.json" }
  /// The text of merges.txt.
  package var merges: String { prefix + "huggingface.merges" }
  /// The text of vocab.json; without it the vocabulary follows from the merges.
  package var vocabulary: String { prefix + "huggingface.vocab" }
  /// The text of tokenizer_config.json.
  package var settings: String { prefix + "huggingface.config" }
  /// The text of special_tokens_map.json.
  package var specialTokens: String { prefix + "huggingface.special_tokens_map" }
  /// The class that the pipeline's index names.
  package var className: String { prefix + "huggingface.class" }

  /// One of the lists and settings that llama.cpp reads.
  package func ggml(_ name: String) -> String { prefix + "ggml." + name }

  /// Whether these are the keys that other programs know.
  package var areKnown: Bool { prefix == Self().prefix }

  /// The key under which this tokenizer has what another one has under a key of its own.
  package func renamed(_ key: String, from other: TokenizerKeys) -> String {
    prefix + key.dropFirst(other.prefix.count)
  }

  /// Whether a key is one of this tokenizer's, and of none of the others.
  package func owns(_ key: String, besides others: [TokenizerKeys]) -> Bool {
    key.hasPrefix(prefix)
      && !others.contains { $0.prefix.utf8.count > prefix.utf8.count && key.hasPrefix($0.prefix) }
  }
}
