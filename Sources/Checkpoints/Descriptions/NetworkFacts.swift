import BlockFormats
import ModelFiles
import StrictJSON

/// What is known of one network's sizes, in the words of the files that describe it: stated once,
/// for those who convert models and those who make them up.
package struct NetworkFacts: Sendable {
  /// What tensors do not tell, in the order of GGUF metadata.
  package let settings: [SettingValue]
  /// What other programs need to know of the network in a GGUF file by itself.
  package let standaloneMetadata: [(key: String, value: GGUFWriter.Value)]
  /// Rows of the token embedding; 0 for networks that have none.
  package let vocabularySize: Int
  /// The members of `config.json`.
  package let configuration: @Sendable (ConfigurationContext) -> [JSONValue.Member]

  package init(
    settings: [SettingValue],
    standaloneMetadata: [(key: String, value: GGUFWriter.Value)] = [],
    vocabularySize: Int = 0,
    configuration: @escaping @Sendable (ConfigurationContext) -> [JSONValue.Member]
  ) {
    self.settings = settings
    self.standaloneMetadata = standaloneMetadata
    self.vocabularySize = vocabularySize
    self.configuration = configuration
  }
}

/// What a network's `config.json` says beside the network's own sizes.
package struct ConfigurationContext: Sendable {
  /// The type of the weights.
  package let type: ElementType
  /// Pixels per side of pictures by default; nil if nobody tells.
  package let pictureSide: Int?
  /// Whether the model is synthesized: no input has told the rest.
  package let isSynthetic: Bool
  /// The token that ends a prompt, where the input's configuration does not tell it and its
  /// tokenizer does.
  package let endID: Int?

  package init(type: ElementType, pictureSide: Int?, isSynthetic: Bool, endID: Int? = nil) {
    self.type = type
    self.pictureSide = pictureSide
    self.isSynthetic = isSynthetic
    self.endID = endID
  }
}
