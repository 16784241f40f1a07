import AuraFlowFamily
import Checkpoints
import ModelFiles
import Networks
import StrictJSON
import Tokenizers

/// The parts of a model that a file can be made of.
package enum PartSelection: String, CaseIterable, Sendable {
  case all
  case transformer
  case textEncoder = "text-encoder"
  case autoencoder = "vae"

  package var parts: [ModelPart] {
    switch self {
    case .all: ModelPart.allCases
    case .transformer: [.transformer]
    case .textEncoder: [.textEncoder]
    case .autoencoder: [.autoencoder]
    }
  }
}

/// What is converted: parts of a model, opened, checked against their architectures, and described
/// by all that their tensors do not tell.
package struct ConversionSource {
  package let selection: PartSelection
  /// Every tensor, in an order that does not depend on the input's layout.
  package let tensors: [PartTensor]
  let transformer: TransformerFacts?
  let textEncoder: TextEncoderFacts?
  let autoencoder: AutoencoderFacts?
  package let tokenizer: TokenizerSource?
  let scheduler: ConfigurationFile?
  /// What lies as `config.json` beside the weights of a part.
  let configurations: [ModelPart: JSONValue]
  /// A GGUF file whose metadata may hold defaults.
  let defaults: GGUFFile?
  /// Every file that was opened.
  package let files: [String]
  /// What is strange about the files without being a fault: lines.
  let fileNotes: [String]
  /// Where the last tensor of each file with weights ends, used or not.
  package let contentEnds: [String: Int]

  struct TransformerFacts {
    let sizes: AuraFlowConfiguration
    var headDimension: Int { sizes.headDimension }
    var patchSize: Int { sizes.patchSize }
  }

  struct TextEncoderFacts {
    let sizes: UMT5Encoder.Configuration
    let epsilon: Double
  }

  struct AutoencoderFacts {
    /// Nil for tiny autoencoders, which have none.
    let normGroups: Int?
    let scalingFactor: Double
  }

  /// Opens and checks parts.
  ///
  /// - Parameters:
  ///   - selection: what to convert.
  ///   - paths: where the parts are.
  ///   - hints: facts that neither tensors nor files tell.
  /// - Throws: `ModelFileError` naming the first fault.
  package init(
    _ selection: PartSelection, paths: ModelPaths, hints: ArchitectureHints
  ) throws(ModelFileError) {
    let sources = try PartSources(selection.parts, paths, hints: hints) { there in
      Self.alternative(to: selection, there)
    }
    self.selection = selection
    var (transformer, textEncoder, autoencoder):
      (
        TransformerFacts?, TextEncoderFacts?, AutoencoderFacts?
      )
    var tensors: [PartTensor] = []
    for source in sources.parts {
      switch source.weights.part {
      case .transformer: transformer = try Self.transformerFacts(source)
      case .textEncoder: textEncoder = try Self.textEncoderFacts(source)
      case .autoencoder: autoencoder = try Self.autoencoderFacts(source)
      }
      tensors += try source.weights.tensors().sorted { Self.precedes($0.name, $1.name) }
    }
    self.tensors = tensors
    configurations = sources.parts.reduce(into: [:]) { configurations, source in
      configurations[source.weights.part] = source.configuration?.json
    }
    (self.transformer, self.textEncoder, self.autoencoder) = (transformer, textEncoder, autoencoder)
    tokenizer = sources.tokenizer
    scheduler = sources.scheduler
    defaults = sources.defaults
    files = sources.files
    fileNotes = sources.notes
    contentEnds = sources.parts.reduce(into: [:]) { ends, source in
      ends.merge(source.weights.archive.contentEnds) { max($0, $1) }
    }
    if selection == .all { _ = try sources.expectTokenizer(paths) }
  }

  /// What to say where not every part is there.
  private static func alternative(
    to selection: PartSelection, _ there: [ModelPart]
  ) -> String? {
    guard selection == .all, there.count == 1, let part = there.first,
      let single = PartSelection.allCases.first(where: { $0.parts == [part] })
    else { return nil }
    return "to convert the \(part.rawValue) alone, pass --part \(single.rawValue)"
  }

  // MARK: Architectures

  private static func transformerFacts(
    _ source: PartSource
  ) throws(ModelFileError) -> TransformerFacts {
    // Opening the network checks every tensor's name and shape.
    TransformerFacts(sizes: try AuraFlowTransformer(source).configuration)
  }

  private static func textEncoderFacts(
    _ source: PartSource
  ) throws(ModelFileError) -> TextEncoderFacts {
    TextEncoderFacts(
      sizes: try UMT5Encoder(source).configuration,
      epsilon: try source.value(.textEpsilon, in: 0...1))
  }

  private static func autoencoderFacts(
    _ source: PartSource
  ) throws(ModelFileError) -> AutoencoderFacts {
    if TinyDecoder.describes(source) {
      _ = try TinyDecoder(source)
      return AutoencoderFacts(
        normGroups: nil, scalingFactor: try source.value(.tinyScalingFactor, in: 1e-6...1e6))
    }
    _ = try AutoencoderDecoder(source)
    return AutoencoderFacts(
      normGroups: try source.integer(.normGroups, in: 1...4096),
      scalingFactor: try source.value(.scalingFactor, in: 1e-6...1e6))
  }

  // MARK: Order

  /// Orders names as people do: numbers by their value.
  private static func precedes(_ left: String, _ right: String) -> Bool {
    let (left, right) = (left.split(separator: "."), right.split(separator: "."))
    for (left, right) in zip(left, right) where left != right {
      if let left = Int(left), let right = Int(right) { return left < right }
      return left < right
    }
    return left.count < right.count
  }
}
