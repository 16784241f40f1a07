/// A network's place in a family: a transformer that denoises, a text encoder, a VAE.
package struct Slot: Sendable {
  /// The name in `model_index.json`, and of the folder: `text_encoder`.
  package let key: String
  /// What messages call it.
  package let name: String
  /// The command line option that names a file of it, without dashes: it says what the network is,
  /// which `key` does not tell across families.
  package let option: String
  /// Other options that name the same.
  package let otherOptions: [String]
  /// The networks that can take the place; the first is the usual one.
  package let networks: [NetworkDescription]
  /// What its names begin with in a GGUF file of the whole model; not empty for one of two places
  /// whose networks have names in common.
  package let ggufPrefix: String
  /// What its names begin with in a safetensors file of the whole model, as ComfyUI has it.
  package let singleFilePrefix: String
  /// What adapters write before names with underscores for dots; what they write for denoisers is
  /// the same in all families.
  package let adapterPrefixes: [String]
  /// Whether safetensors files outside of folders have the folder's names too.
  package let keepsFolderNames: Bool
  /// The tokenizer that belongs to it; nil for networks that read no text.
  package let tokenizer: TokenizerPlace?
  /// Where files of it are published.
  package let published: String
  /// What the family needs, for messages about another kind of network.
  package let need: String
  /// A tensor that tells the part.
  package let example: String

  package init(
    _ key: String, name: String, option: String, otherOptions: [String] = [],
    networks: [NetworkDescription], ggufPrefix: String = "", singleFilePrefix: String,
    adapterPrefixes: [String] = [], keepsFolderNames: Bool = false,
    tokenizer: TokenizerPlace? = nil, published: String,
    need: String = "", example: String
  ) {
    self.key = key
    self.name = name
    self.option = option
    self.otherOptions = otherOptions
    self.networks = networks
    self.ggufPrefix = ggufPrefix
    self.singleFilePrefix = singleFilePrefix
    self.adapterPrefixes = adapterPrefixes
    self.keepsFolderNames = keepsFolderNames
    self.tokenizer = tokenizer
    self.published = published
    self.need = need
    self.example = example
  }

  /// The command line flag that names a file of the part.
  package var flag: String { "--" + option }

  /// All options that name a file of the part; the first is what messages call it.
  package var options: [String] { [option] + otherOptions }

  /// What its names begin with in files of the whole model.
  var prefixes: [String] { [ggufPrefix, singleFilePrefix] }

  /// Classes that a pipeline's index may name.
  package var classes: [String] { networks.map(\.className) }

  /// Names of files with weights in its folder, without ending.
  package var weightsStem: String { networks.first?.library.weightsStem ?? "model" }

  /// `general.architecture` of a GGUF file with the part alone.
  package var architecture: String { networks.first?.architecture ?? key }

  /// The network of an id as this place describes it.
  package func network(_ id: String) -> NetworkDescription? { networks.first { $0.id == id } }
}

extension Slot: Hashable {
  /// Places of two families are the same where the same networks take them: what is `text_encoder`
  /// in one may be `text_encoder_2` in another.
  package static func == (left: Slot, right: Slot) -> Bool {
    left.key == right.key && left.networks.map(\.id) == right.networks.map(\.id)
  }

  package func hash(into hasher: inout Hasher) { hasher.combine(key) }
}
