import Checkpoints
import Networks
import Tokenizers

/// The FLUX.1 family: a transformer that denoises, T5-XXL and CLIP-L, and an autoencoder of 16
/// channels.
package enum Flux {
  /// The place of the transformer.
  package static let transformer = Slot(
    "transformer", name: "transformer", option: "transformer",
    networks: [FluxTransformer.description], singleFilePrefix: "model.diffusion_model.",
    published: "transformer/ of huggingface.co/black-forest-labs/FLUX.1-schnell or its "
      + "flux1-schnell.safetensors, or a GGUF of it such as city96/FLUX.1-schnell-gguf",
    example: "double_blocks.0.img_attn.qkv.weight")

  /// Where models with both tokenizers are published.
  private static let repositories = [
    "black-forest-labs/FLUX.1-schnell", "black-forest-labs/FLUX.1-dev",
  ]

  /// The place of the text encoder whose every token the transformer sees.
  package static let textEncoder = Slot(
    "text_encoder_2", name: "T5 text encoder", option: "t5xxl",
    networks: [T5Encoder.description], singleFilePrefix: "text_encoders.t5xxl.transformer.",
    // OneTrainer counts the encoders of the model, others all that there are.
    adapterPrefixes: ["lora_te3_", "lora_te2_"],
    keepsFolderNames: true,
    tokenizer: TokenizerPlace(
      "tokenizer_2", name: "T5 tokenizer", form: .unigram,
      published: "tokenizer_2/ of huggingface.co/black-forest-labs/FLUX.1-schnell, or its "
        + "tokenizer.json or spiece.model",
      kept: TokenizerPlace.Kept(
        name: "t5", idCounts: [32_000, 32_100, 32_128],
        repositories: ["google/t5-v1_1-xxl"] + repositories)),
    published: "T5-XXL v1.1: text_encoder_2/ of huggingface.co/black-forest-labs/FLUX.1-schnell, "
      + "comfyanonymous/flux_text_encoders, or a GGUF such as city96/t5-v1_1-xxl-encoder-gguf",
    need: "FLUX.1 needs T5-XXL v1.1, such as comfyanonymous/flux_text_encoders",
    example: "enc.blk.0.attn_q.weight")

  /// The place of the text encoder that makes one vector of a prompt.
  package static let pooledEncoder = Slot(
    "text_encoder", name: "CLIP text encoder", option: "clip-l",
    networks: [CLIPTextEncoder.description],
    singleFilePrefix: "text_encoders.clip_l.transformer.",
    adapterPrefixes: ["lora_te1_", "lora_te_"], keepsFolderNames: true,
    tokenizer: TokenizerPlace(
      "tokenizer", name: "CLIP tokenizer", option: "clip-tokenizer", form: .clip,
      published: "tokenizer/ of huggingface.co/black-forest-labs/FLUX.1-schnell or of "
        + "openai/clip-vit-large-patch14: vocab.json and merges.txt, or tokenizer.json",
      keys: TokenizerKeys("clip"),
      kept: TokenizerPlace.Kept(
        name: "clip", idCounts: [49_408],
        repositories: ["openai/clip-vit-large-patch14"] + repositories)),
    published: "CLIP-L: text_encoder/ of huggingface.co/black-forest-labs/FLUX.1-schnell, or "
      + "clip_l.safetensors of comfyanonymous/flux_text_encoders",
    need: "FLUX.1 needs CLIP-L, clip_l.safetensors of comfyanonymous/flux_text_encoders",
    example: "text_model.encoder.layers.0.self_attn.q_proj.weight")

  /// The place of the image autoencoder, or a tiny one.
  package static let autoencoder = Slot(
    "vae", name: "VAE", option: "vae", otherOptions: ["tae"],
    networks: [
      AutoencoderDecoder.description.publishing([
        "scaling_factor": scalingFactor, "shift_factor": shiftFactor,
      ]),
      TinyDecoder.description.publishing([
        "replaced_scaling_factor": scalingFactor, "replaced_shift_factor": shiftFactor,
      ]),
    ],
    ggufPrefix: "vae.", singleFilePrefix: "vae.",
    published: "ae.safetensors or vae/ of huggingface.co/black-forest-labs/FLUX.1-schnell",
    example: "decoder.conv_in.weight")

  /// Everything that is known of the family.
  package static let family = FamilyDescription(
    name: "FLUX.1", modelPhrase: "a FLUX.1 model", pipelineClass: "FluxPipeline",
    denoiser: transformer, otherSlots: [textEncoder, pooledEncoder, autoencoder],
    metadata: MetadataKeys(prefix: FluxTransformer.description.architecture),
    defaults: schnell(side: 1024),
    variants: [FamilyVariant(mark: FluxConfiguration.guidanceTensor, dev(side: 1024))],
    promptAdvice: "FLUX.1 reads its prompts with T5-XXL v1.1 and CLIP-L", presets: presets,
    relatives: relatives)

  /// What the autoencoder multiplies its latents by.
  static let scalingFactor = 0.3611
  /// What it takes from them before.
  static let shiftFactor = 0.1159

  /// How pictures are made with FLUX.1-dev.
  static func dev(
    side: Int, steps: Int = 28, maxSequenceLength: Int = 512
  ) -> SamplingDefaults {
    SamplingDefaults(
      side: side, steps: steps, guidanceScale: 1, guidance: 3.5,
      shift: .dynamic(
        DynamicShift(base: 0.5, maximum: 1.15, baseTokens: 256, maximumTokens: 4096)),
      trainTimesteps: 1000, maxSequenceLength: maxSequenceLength)
  }

  /// How pictures are made with FLUX.1-schnell.
  static func schnell(
    side: Int, steps: Int = 4, maxSequenceLength: Int = 256
  ) -> SamplingDefaults {
    SamplingDefaults(
      side: side, steps: steps, guidanceScale: 1, shift: .fixed(1), trainTimesteps: 1000,
      maxSequenceLength: maxSequenceLength)
  }
}
