/// How a kind of model is put together, as data.
package struct FamilyDescription: Sendable {
  /// What people call it.
  package let name: String
  /// A model of it, with article: `a FLUX.1 model`.
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
  /// Where the tokenizer is published.
  package let tokenizerPublished: String
  /// What the family reads prompts with, for people who name another encoder.
  package let promptAdvice: String
  /// Models that can be synthesized with random weights.
  package let presets: [ModelPreset]

  /// Describes a family; what the parameters mean is said at the properties.
  package init(
    name: String, modelPhrase: String, pipelineClass: String, denoiser: Slot, otherSlots: [Slot],
    metadata: MetadataKeys, defaults: SamplingDefaults, tokenizerPublished: String,
    promptAdvice: String, presets: [ModelPreset] = []
  ) {
    self.name = name
    self.modelPhrase = modelPhrase
    self.pipelineClass = pipelineClass
    slots = [denoiser] + otherSlots
    self.denoiser = denoiser
    self.metadata = metadata
    self.defaults = defaults
    self.tokenizerPublished = tokenizerPublished
    self.promptAdvice = promptAdvice
    self.presets = presets
  }

  /// `general.architecture` of a GGUF file of the whole model.
  package var architecture: String { denoiser.architecture }
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
  /// Shift of the noise schedule.
  package let shift: Double
  /// Timesteps in training.
  package let trainTimesteps: Int
  /// Maximum number of tokens of a prompt.
  package let maxSequenceLength: Int

  package init(
    side: Int, steps: Int, guidanceScale: Double, shift: Double, trainTimesteps: Int,
    maxSequenceLength: Int
  ) {
    (width, height) = (side, side)
    self.steps = steps
    self.guidanceScale = guidanceScale
    self.shift = shift
    self.trainTimesteps = trainTimesteps
    self.maxSequenceLength = maxSequenceLength
  }
}
