/// How a kind of model is put together, as data.
package struct FamilyDescription: Sendable {
  /// What people call it.
  package let name: String
  /// A model of it, with article.
  package let modelPhrase: String
  /// The class that `model_index.json` names.
  package let pipelineClass: String
  /// The places of its networks, in the order in which files have them.
  package let slots: [Slot]
  /// The network that tells the family: the one that denoises.
  package let denoiser: Slot
  /// Keys of GGUF metadata.
  package let metadata: MetadataKeys
  /// How pictures are made with the published model.
  package let defaults: SamplingDefaults
  /// Kinds that have defaults of their own: the first whose mark a model has.
  package let variants: [FamilyVariant]
  /// What the family reads prompts with, for people who name another encoder.
  package let promptAdvice: String
  /// Models that can be synthesized with random weights.
  package let presets: [ModelPreset]
  /// Files that are taken for its models and are not run, in the order in which they decide.
  package let relatives: [RelatedKind]

  /// Describes a family; what the parameters mean is said at the properties.
  package init(
    name: String, modelPhrase: String, pipelineClass: String, denoiser: Slot, otherSlots: [Slot],
    metadata: MetadataKeys, defaults: SamplingDefaults, variants: [FamilyVariant] = [],
    promptAdvice: String, presets: [ModelPreset] = [], relatives: [RelatedKind] = []
  ) {
    self.name = name
    self.modelPhrase = modelPhrase
    self.pipelineClass = pipelineClass
    slots = [denoiser] + otherSlots
    self.denoiser = denoiser
    self.metadata = metadata
    self.defaults = defaults
    self.variants = variants
    self.promptAdvice = promptAdvice
    self.presets = presets
    self.relatives = relatives
  }

  /// The places of its tokenizers, in the order of the slots.
  package var tokenizers: [TokenizerPlace] { slots.compactMap(\.tokenizer) }

  /// `general.architecture` of a GGUF file of the whole model.
  package var architecture: String { denoiser.architecture }
}

extension FamilyDescription {
  /// How pictures are made with a model of the family.
  ///
  /// - Parameter hasTensor: whether the denoiser has a tensor of one of our names.
  /// - Returns: the defaults of the first kind that it is, else the family's.
  package func defaults(having hasTensor: (String) -> Bool) -> SamplingDefaults {
    variants.first { hasTensor($0.mark) }?.defaults ?? defaults
  }

  /// Whether the noise levels of some kind depend on the picture's size.
  var hasDynamicShift: Bool {
    ([defaults] + variants.map(\.defaults)).contains { $0.shift.fixed == nil }
  }
}

/// A kind of model of a family.
package struct FamilyVariant: Sendable {
  /// A tensor of the denoiser, by our name, that other kinds do not have.
  package let mark: String
  package let defaults: SamplingDefaults

  package init(mark: String, _ defaults: SamplingDefaults) {
    self.mark = mark
    self.defaults = defaults
  }
}

/// How pictures are made with a model unless somebody says otherwise.
package struct SamplingDefaults: Sendable, Equatable {
  /// Pixels per row.
  package let width: Int
  /// Rows.
  package let height: Int
  package let steps: Int
  /// Strength of classifier-free guidance.
  package let guidanceScale: Double
  /// Strength of the distilled guidance; nil where there is none.
  package let guidance: Double?
  /// Shift of the noise schedule.
  package let shift: LevelShift
  /// Timesteps in training.
  package let trainTimesteps: Int
  /// Maximum number of tokens of a prompt.
  package let maxSequenceLength: Int

  package init(
    side: Int, steps: Int, guidanceScale: Double, guidance: Double? = nil, shift: LevelShift,
    trainTimesteps: Int, maxSequenceLength: Int
  ) {
    (width, height) = (side, side)
    self.steps = steps
    self.guidanceScale = guidanceScale
    self.guidance = guidance
    self.shift = shift
    self.trainTimesteps = trainTimesteps
    self.maxSequenceLength = maxSequenceLength
  }
}

extension FamilyDescription {
  /// The key of GGUF metadata under which a place's setting is written; nil if nowhere. Of places
  /// with the same network one has the network's own key, the others have their prefix in it.
  package func metadataKey(of setting: Setting, in slot: Slot) -> String? {
    metadata.key(of: setting, behind: siblings(of: slot).isEmpty ? "" : slot.ggufPrefix)
  }

  /// Other places whose networks have names in common with a place's.
  func siblings(of slot: Slot) -> [Slot] {
    slots.filter { other in
      other != slot && other.networks.contains { slot.network($0.id) != nil }
    }
  }

  /// The places that networks fill, in the family's order: each with the first of its networks that
  /// is there. Of places with siblings those whose prefixes are there come first, and none takes
  /// what another has.
  ///
  /// - Parameter found: networks by their names.
  /// - Returns: what was found, in the family's places.
  func filled(by found: [PartLocation]) -> [PartLocation] {
    var filled: [Slot: PartLocation] = [:]
    for needsPrefix in [true, false] {
      for slot in slots where filled[slot] == nil {
        let hasSiblings = !siblings(of: slot).isEmpty
        guard hasSiblings || !needsPrefix else { continue }
        filled[slot] =
          slot.networks.lazy.compactMap { network in
            found.first { location in
              guard location.network.id == network.id else { return false }
              guard hasSiblings else { return true }
              return (!needsPrefix || slot.prefixes.contains(location.prefix))
                && !filled.values.contains {
                  $0.network.id == network.id && $0.prefix == location.prefix
                }
            }?.placed(slot, as: network)
          }.first
      }
    }
    return slots.compactMap { filled[$0] }
  }
}
