import BlockFormats
import StrictJSON

/// The small files that say what the parts of a diffusers folder are, for every verb that writes one.
package enum PipelineDescription {
  /// `model_index.json`.
  ///
  /// - Parameters:
  ///   - maker: who writes the folder.
  ///   - tokenizer: class of the tokenizer in transformers.
  ///   - autoencoder: class of the autoencoder in diffusers.
  /// - Returns: the file's content.
  package static func index(
    by maker: OwnFolder.Maker, tokenizer: String, autoencoder: String
  ) -> JSONValue {
    [
      "_class_name": "AuraFlowPipeline", "_name_or_path": .string(maker.rawValue),
      "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
      "text_encoder": ["transformers", "UMT5EncoderModel"],
      "tokenizer": ["transformers", .string(tokenizer)],
      "transformer": ["diffusers", "AuraFlowTransformer2DModel"],
      "vae": ["diffusers", .string(autoencoder)],
    ]
  }

  /// `scheduler_config.json`.
  ///
  /// - Parameters:
  ///   - shift: of the timesteps , as in diffusers' `FlowMatchEulerDiscreteScheduler`.
  ///   - trainTimesteps: timesteps in training.
  /// - Returns: the file's content.
  package static func scheduler(shift: Double, trainTimesteps: Int) -> JSONValue {
    [
      "_class_name": "FlowMatchEulerDiscreteScheduler",
      "num_train_timesteps": .integer(trainTimesteps), "shift": .double(shift),
      "use_dynamic_shifting": false,
    ]
  }

  /// PyTorch's name of a plain type.
  package static func dataType(_ type: ElementType) -> JSONValue {
    switch type {
    case .bf16: "bfloat16"
    case .f32: "float32"
    default: "float16"
    }
  }
}
