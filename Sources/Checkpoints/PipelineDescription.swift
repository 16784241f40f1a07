import BlockFormats
import StrictJSON
import Tokenizers

/// The small files that say what the parts of a diffusers folder are, for every verb that writes
/// one.
package enum PipelineDescription {
  /// `model_index.json`.
  ///
  /// - Parameters:
  ///   - maker: who writes the folder.
  ///   - family: the family of the model.
  ///   - networks: the network of each place.
  ///   - scheduler: class of the scheduler in diffusers.
  ///   - tokenizer: class of a place's tokenizer in transformers.
  /// - Returns: the file's content.
  package static func index(
    by maker: OwnFolder.Maker, of family: FamilyDescription, networks: [Slot: NetworkDescription],
    scheduler: String = "FlowMatchEulerDiscreteScheduler",
    tokenizer: (TokenizerPlace) -> String
  ) -> JSONValue {
    var parts: [JSONValue.Member] = [
      .init(key: "scheduler", value: ["diffusers", .string(scheduler)])
    ]
    for slot in family.slots {
      guard let network = networks[slot] ?? slot.networks.first else { continue }
      parts.append(
        .init(
          key: slot.key,
          value: [.string(network.library.rawValue), .string(network.className)]))
      guard let place = slot.tokenizer else { continue }
      parts.append(
        .init(key: place.key, value: ["transformers", .string(tokenizer(place))]))
    }
    return .object(
      [
        .init(key: "_class_name", value: .string(family.pipelineClass)),
        .init(key: "_name_or_path", value: .string(maker.rawValue)),
      ] + parts.sorted { $0.key < $1.key })
  }

  /// `scheduler_config.json`.
  ///
  /// - Parameters:
  ///   - shift: of the levels, as in diffusers' `FlowMatchEulerDiscreteScheduler`.
  ///   - trainTimesteps: timesteps in training.
  /// - Returns: the file's content.
  package static func scheduler(shift: LevelShift, trainTimesteps: Int) -> JSONValue {
    switch shift {
    case .fixed(let shift):
      [
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": .integer(trainTimesteps), "shift": .double(shift),
        "use_dynamic_shifting": false,
      ]
    case .dynamic(let rule):
      [
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "base_image_seq_len": .integer(rule.baseTokens), "base_shift": .double(rule.base),
        "max_image_seq_len": .integer(rule.maximumTokens), "max_shift": .double(rule.maximum),
        "num_train_timesteps": .integer(trainTimesteps), "shift": 1.0,
        "use_dynamic_shifting": true,
      ]
    }
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

extension TokenizerForm {
  /// The class in transformers, where no file names one.
  package var className: String {
    switch self {
    case .sentencePieceBytePairs: "LlamaTokenizerFast"
    case .unigram: "T5TokenizerFast"
    case .clip: "CLIPTokenizer"
    }
  }
}
