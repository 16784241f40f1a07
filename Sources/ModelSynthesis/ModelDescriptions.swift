import BlockFormats
import Checkpoints
import ModelFiles
import StrictJSON

/// What a model's files say about it beside its tensors.
struct ModelDescriptions {
  let preset: ModelPreset
  let type: ElementType

  private static let shift = 1.73
  private static let trainTimesteps = 1000

  // MARK: GGUF

  /// Metadata of a self-contained GGUF file.
  ///
  /// - Parameter tokenizer: the content of tokenizer.json.
  /// - Returns: pairs in file order.
  func metadata(tokenizer: JSONValue) -> [(key: String, value: GGUFWriter.Value)] {
    let defaults = preset.defaults
    return [
      ("general.architecture", .string("aura")),
      ("general.name", .string("\(preset.rawValue) with random weights")),
      ("general.file_type", .uint32(type.fileType ?? 1)),
      ("general.quantization_version", .uint32(2)),
      ("aura.default.width", .uint32(UInt32(defaults.side))),
      ("aura.default.height", .uint32(UInt32(defaults.side))),
      ("aura.default.steps", .uint32(UInt32(defaults.steps))),
      ("aura.default.guidance_scale", .float32(Float(defaults.guidanceScale))),
      ("aura.default.max_sequence_length", .uint32(UInt32(defaults.maxSequenceLength))),
      ("aura.scheduler.shift", .float32(Float(Self.shift))),
      ("aura.scheduler.train_timesteps", .uint32(UInt32(Self.trainTimesteps))),
      ("aura.attention.key_length", .uint32(UInt32(preset.transformer.headDimension))),
      ("aura.patch_size", .uint32(UInt32(TransformerSizes.patchSize))),
      (
        "aura.text_encoder.relative_max_distance", .uint32(UInt32(TextEncoderSizes.maxDistance))
      ),
      ("aura.text_encoder.layer_norm_epsilon", .float32(Float(TextEncoderSizes.epsilon))),
      ("aura.vae.norm_groups", .uint32(UInt32(preset.autoencoder.normGroups))),
      ("aura.vae.scaling_factor", .float32(Float(AutoencoderSizes.scalingFactor))),
      ("tokenizer.huggingface.json", .string(tokenizer.text())),
    ]
  }

  // MARK: Folder

  /// The small files of a diffusers folder by their paths in it.
  ///
  /// - Parameter tokenizer: the content of tokenizer.json.
  /// - Returns: paths and contents.
  func files(tokenizer: JSONValue) -> [(name: String, json: JSONValue)] {
    [
      ("transformer/config.json", transformer), ("text_encoder/config.json", textEncoder),
      ("vae/config.json", autoencoder), ("scheduler/scheduler_config.json", Self.scheduler),
      ("tokenizer/tokenizer.json", tokenizer),
      ("tokenizer/tokenizer_config.json", SyntheticTokenizer.configuration),
      ("model_index.json", Self.index),
    ]
  }

  private static let index = PipelineDescription.index(
    by: .synthesize, tokenizer: "LlamaTokenizerFast", autoencoder: "AutoencoderKL")

  private static let scheduler = PipelineDescription.scheduler(
    shift: shift, trainTimesteps: trainTimesteps)

  private var transformer: JSONValue {
    let sizes = preset.transformer
    return [
      "_class_name": "AuraFlowTransformer2DModel",
      "attention_head_dim": .integer(sizes.headDimension),
      "caption_projection_dim": .integer(sizes.hiddenSize),
      "in_channels": .integer(TransformerSizes.latentChannels),
      "joint_attention_dim": .integer(sizes.textWidth),
      "num_attention_heads": .integer(sizes.hiddenSize / sizes.headDimension),
      "num_mmdit_layers": .integer(sizes.doubleLayerCount),
      "num_single_dit_layers": .integer(sizes.singleLayerCount),
      "out_channels": .integer(TransformerSizes.latentChannels),
      "patch_size": .integer(TransformerSizes.patchSize),
      "pos_embed_max_size": .integer(sizes.positionCount),
      "sample_size": .integer(preset.defaults.side / 8),
    ]
  }

  private var textEncoder: JSONValue {
    let sizes = preset.textEncoder
    return [
      "architectures": ["UMT5EncoderModel"], "model_type": "umt5",
      "d_ff": .integer(sizes.feedForwardWidth), "d_kv": .integer(TextEncoderSizes.headDimension),
      "d_model": .integer(sizes.width), "dense_act_fn": "gelu_new", "eos_token_id": 2,
      "feed_forward_proj": "gated-gelu", "is_gated_act": true, "is_encoder_decoder": true,
      "layer_norm_epsilon": .double(TextEncoderSizes.epsilon),
      "num_heads": .integer(sizes.headCount), "num_layers": .integer(sizes.layerCount),
      "pad_token_id": 0, "relative_attention_max_distance": .integer(TextEncoderSizes.maxDistance),
      "relative_attention_num_buckets": .integer(TextEncoderSizes.bucketCount),
      "torch_dtype": PipelineDescription.dataType(type),
      "vocab_size": .integer(sizes.vocabularySize),
    ]
  }

  private var autoencoder: JSONValue {
    let sizes = preset.autoencoder
    func blocks(_ name: String) -> JSONValue { .array(sizes.channels.map { _ in .string(name) }) }
    return [
      "_class_name": "AutoencoderKL", "act_fn": "silu",
      "block_out_channels": .array(sizes.channels.map { .integer($0) }),
      "down_block_types": blocks("DownEncoderBlock2D"), "force_upcast": true, "in_channels": 3,
      "latent_channels": .integer(AutoencoderSizes.latentChannels),
      "layers_per_block": .integer(sizes.blocksPerLevel),
      "norm_num_groups": .integer(sizes.normGroups), "out_channels": 3,
      "sample_size": .integer(preset.defaults.side),
      "scaling_factor": .double(AutoencoderSizes.scalingFactor),
      "up_block_types": blocks("UpDecoderBlock2D"),
    ]
  }
}
