import Checkpoints
import Networks

/// The AuraFlow family: a transformer that denoises, Pile-T5-XL, and SDXL's autoencoder.
package enum AuraFlow {
  /// The place of the transformer.
  package static let transformer = Slot(
    "transformer", name: "transformer", option: "transformer",
    networks: [AuraFlowTransformer.description], singleFilePrefix: "model.",
    published: "transformer/ of huggingface.co/fal/AuraFlow-v0.3, or a GGUF of it such as "
      + "city96/AuraFlow-v0.3-gguf",
    example: "single_layers.0.attn.w1q.weight")

  /// The place of the text encoder.
  package static let textEncoder = Slot(
    "text_encoder", name: "text encoder", option: "text-encoder", otherOptions: ["t5xxl"],
    networks: [T5Encoder.umt5Description],
    singleFilePrefix: "text_encoders.pile_t5xl.transformer.",
    adapterPrefixes: ["lora_te1_", "lora_te_", "lora_te3_"], keepsFolderNames: true,
    tokenizer: TokenizerPlace(
      "tokenizer", form: .sentencePieceBytePairs,
      published: "tokenizer/ of huggingface.co/fal/AuraFlow-v0.3, or its tokenizer.json or "
        + "tokenizer.model"),
    published: "Pile-T5-XL: text_encoder/ of huggingface.co/fal/AuraFlow-v0.3",
    need: "AuraFlow needs Pile-T5-XL, text_encoder/ of huggingface.co/fal/AuraFlow-v0.3",
    example: "enc.blk.0.attn_q.weight")

  /// The place of the image autoencoder: SDXL's, or a tiny one.
  package static let autoencoder = Slot(
    "vae", name: "VAE", option: "vae", otherOptions: ["tae"],
    networks: [
      AutoencoderDecoder.description.publishing(["scaling_factor": scalingFactor]),
      TinyDecoder.description.publishing(["replaced_scaling_factor": scalingFactor]),
    ],
    ggufPrefix: "vae.", singleFilePrefix: "vae.",
    published: "SDXL's: vae/ of huggingface.co/fal/AuraFlow-v0.3, or stabilityai/sdxl-vae",
    example: "decoder.conv_in.weight")

  /// Everything that is known of the family.
  package static let family = FamilyDescription(
    name: "AuraFlow", modelPhrase: "an AuraFlow model", pipelineClass: "AuraFlowPipeline",
    denoiser: transformer, otherSlots: [textEncoder, autoencoder],
    metadata: MetadataKeys(prefix: AuraFlowTransformer.description.architecture),
    defaults: defaults(side: 1024, steps: 50, maxSequenceLength: 256),
    promptAdvice: "AuraFlow reads its prompts with Pile-T5-XL", presets: presets)

  /// What SDXL's autoencoder multiplies its latents by.
  static let scalingFactor = 0.13025

  /// How pictures are made with one of the family's models.
  static func defaults(side: Int, steps: Int, maxSequenceLength: Int) -> SamplingDefaults {
    SamplingDefaults(
      side: side, steps: steps, guidanceScale: 3.5, shift: .fixed(1.73), trainTimesteps: 1000,
      maxSequenceLength: maxSequenceLength)
  }
}
