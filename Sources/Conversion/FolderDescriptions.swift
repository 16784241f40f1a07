import BlockFormats
import Checkpoints
import ModelFiles
import StrictJSON
import Tokenizers

/// The small files of a diffusers folder: configurations, index, scheduler and tokenizer.
///
/// What the input's own files say is kept; what is missing follows from the opened networks.
struct FolderDescriptions {
  let source: ConversionSource
  /// The type of the weights.
  let type: ElementType

  /// Paths in the folder with contents.
  ///
  /// - Returns: all files; of a single part those of its own folder.
  /// - Throws: `ModelFileError` or `ConversionError` for a tokenizer that such folders cannot have.
  func files() throws -> [(name: String, bytes: [UInt8])] {
    let isWhole = source.selection == .all
    var files = source.selection.parts.map { part in
      (
        name: (isWhole ? part.folderName + "/" : "") + "config.json",
        bytes: Self.bytes(configuration(of: part, isAlone: !isWhole))
      )
    }
    guard isWhole else { return files }
    files.append(("scheduler/scheduler_config.json", Self.bytes(scheduler)))
    files += try tokenizerFiles().map { ("tokenizer/" + $0.name, $0.bytes) }
    files.append(("model_index.json", Self.bytes(index)))
    return files
  }

  private static func bytes(_ json: JSONValue) -> [UInt8] {
    Array((json.text(indentation: 2) + "\n").utf8)
  }

  // MARK: Parts

  private func configuration(of part: ModelPart, isAlone: Bool) -> JSONValue {
    let stated = source.configurations[part]?.members ?? []
    let maker = JSONValue.Member(
      key: "_name_or_path", value: .string(OwnFolder.Maker.convert.rawValue))
    var own = (isAlone ? [maker] : []) + facts(of: part)
    if stated.contains(where: { $0.key == "dtype" }) {
      own.append(.init(key: "dtype", value: PipelineDescription.dataType(type)))
    }
    // Without a default of the model's own, the size is a guess.
    if sampleSize == nil, stated.contains(where: { $0.key == "sample_size" }) {
      own.removeAll { $0.key == "sample_size" }
    }
    // What was found while the part was opened is true; of the rest the input knows more, but for how
    // its own weights were stored and who wrote it.
    let replaced =
      Set(own.map(\.key)).union([maker.key, "quantization_config", "compression_config"])
    return .object(own + stated.filter { !replaced.contains($0.key) })
  }

  private func facts(of part: ModelPart) -> [JSONValue.Member] {
    switch part {
    case .transformer: transformer
    case .textEncoder: textEncoder
    case .autoencoder: autoencoder
    }
  }

  private var transformer: [JSONValue.Member] {
    guard let sizes = source.transformer?.sizes else { return [] }
    return Self.members([
      "_class_name": "AuraFlowTransformer2DModel",
      "attention_head_dim": .integer(sizes.headDimension),
      "caption_projection_dim": .integer(sizes.hiddenSize),
      "in_channels": .integer(sizes.latentChannels),
      "joint_attention_dim": .integer(sizes.textWidth),
      "num_attention_heads": .integer(sizes.hiddenSize / sizes.headDimension),
      "num_mmdit_layers": .integer(sizes.doubleLayerCount),
      "num_single_dit_layers": .integer(sizes.singleLayerCount),
      "out_channels": .integer(sizes.latentChannels),
      "patch_size": .integer(sizes.patchSize),
      "pos_embed_max_size": .integer(sizes.positionCount),
      "sample_size": .integer(sampleSize ?? min(128, sizes.gridSide * sizes.patchSize)),
    ])
  }

  /// Side of the latents of a picture of the model's own size; nil if it does not tell.
  private var sampleSize: Int? {
    let width = source.defaults?.value(for: "aura.default.width")?.integer
    return width.flatMap { (8...65_536).contains($0) ? $0 / 8 : nil }
  }

  private var textEncoder: [JSONValue.Member] {
    guard let facts = source.textEncoder else { return [] }
    let sizes = facts.sizes
    return Self.members([
      "architectures": ["UMT5EncoderModel"], "model_type": "umt5",
      "d_ff": .integer(sizes.feedForwardWidth), "d_kv": .integer(sizes.headDimension),
      "d_model": .integer(sizes.width), "dense_act_fn": "gelu_new",
      "feed_forward_proj": "gated-gelu", "is_gated_act": true, "is_encoder_decoder": true,
      "layer_norm_epsilon": .double(facts.epsilon), "num_heads": .integer(sizes.headCount),
      "num_layers": .integer(sizes.layerCount),
      "relative_attention_max_distance": .integer(sizes.maxDistance),
      "relative_attention_num_buckets": .integer(sizes.bucketCount),
      "torch_dtype": PipelineDescription.dataType(type),
      "vocab_size": .integer(sizes.vocabularySize),
    ])
  }

  private var autoencoder: [JSONValue.Member] {
    guard let facts = source.autoencoder else { return [] }
    let tensors = source.tensors.filter { $0.part == .autoencoder }
    func rows(_ name: String) -> Int? { tensors.first { $0.name == name }?.shape.first }
    func has(_ beginning: String) -> Bool { tensors.contains { $0.name.hasPrefix(beginning) } }
    guard let groups = facts.normGroups else {
      return Self.members([
        "_class_name": "AutoencoderTiny", "scaling_factor": .double(facts.scalingFactor),
      ])
    }
    // The original counts levels from the picture, as the configuration does.
    let channels = (0..<source.levelCount).compactMap {
      rows("decoder.up.\($0).block.0.conv1.bias")
    }
    let blocks = (0..<64).prefix { has("decoder.up.0.block.\($0).") }.count
    func kinds(_ name: String) -> JSONValue { .array(channels.map { _ in .string(name) }) }
    return Self.members([
      "_class_name": "AutoencoderKL", "act_fn": "silu",
      "block_out_channels": .array(channels.map { .integer($0) }),
      "down_block_types": kinds("DownEncoderBlock2D"), "force_upcast": true, "in_channels": 3,
      "latent_channels": .integer(
        tensors.first { $0.name == "decoder.conv_in.weight" }?.shape.dropFirst().first ?? 4),
      "layers_per_block": .integer(max(1, blocks - 1)),
      "mid_block_add_attention": .bool(has("decoder.mid.attn_1.")),
      "norm_num_groups": .integer(groups), "out_channels": 3,
      "scaling_factor": .double(facts.scalingFactor),
      "up_block_types": kinds("UpDecoderBlock2D"),
      "use_post_quant_conv": .bool(has("post_quant_conv.")),
      "use_quant_conv": .bool(has("quant_conv.")),
    ])
  }

  private static func members(_ json: JSONValue) -> [JSONValue.Member] { json.members ?? [] }

  // MARK: Pipeline

  private var index: JSONValue {
    PipelineDescription.index(
      by: .convert, tokenizer: tokenizerClass,
      autoencoder: source.autoencoder?.normGroups == nil ? "AutoencoderTiny" : "AutoencoderKL")
  }

  private var scheduler: JSONValue {
    if let stated = source.scheduler?.json { return stated }
    let shift = source.defaults?.value(for: "aura.scheduler.shift")?.decimal
    let count = source.defaults?.value(for: "aura.scheduler.train_timesteps")?.integer
    return PipelineDescription.scheduler(shift: shift ?? 1.73, trainTimesteps: count ?? 1000)
  }

  // MARK: Tokenizer

  private var tokenizerClass: String {
    guard case .json(_, let companions)? = source.tokenizer else { return "LlamaTokenizerFast" }
    let stated = companions.settings?.json["tokenizer_class"]?.stringValue
    return companions.className ?? stated ?? "PreTrainedTokenizerFast"
  }

  /// What transformers needs to know where the input does not say it: T5 models fill up with id 0.
  private func tokenizerSettings(_ document: JSONDocument) throws(ModelFileError) -> JSONValue {
    let vocabulary = try document.parsed()["model"]?["vocab"]
    let names = vocabulary?.members?.lazy.map { ($0.key, $0.value.integerValue) }
    let padding = names?.first { $0.1 == 0 }?.0
    func known(_ name: String) -> JSONValue {
      vocabulary?[name] == nil ? .null : .string(name)
    }
    return [
      "tokenizer_class": .string(tokenizerClass), "clean_up_tokenization_spaces": false,
      "eos_token": known("</s>"), "pad_token": padding.map { .string($0) } ?? .null,
      "unk_token": known("<unk>"),
    ]
  }

  /// A SentencePiece model, with what transformers needs to know beside it.
  private func pieceFiles(
    _ model: [UInt8], _ path: String
  ) throws(ModelFileError) -> [(name: String, bytes: [UInt8])] {
    let vocabulary: GGUFVocabulary
    do throws(TokenizerError) {
      vocabulary = try GGUFVocabulary(sentencePieceModel: model)
    } catch {
      throw ModelFileError(
        path: path, kind: .malformed, fault: "tokenizer: \(error.description)")
    }
    func token(_ id: Int?) -> JSONValue {
      guard let id, vocabulary.tokens.indices.contains(id) else { return .null }
      return .string(String(decoding: vocabulary.tokens[id], as: UTF8.self))
    }
    let settings: JSONValue = [
      "tokenizer_class": .string(tokenizerClass), "clean_up_tokenization_spaces": false,
      "add_bos_token": false, "add_eos_token": true, "eos_token": token(vocabulary.eosID),
      "pad_token": token(0), "unk_token": token(vocabulary.unknownID),
    ]
    return [("tokenizer.model", model), ("tokenizer_config.json", Self.bytes(settings))]
  }

  private func tokenizerFiles() throws -> [(name: String, bytes: [UInt8])] {
    switch source.tokenizer {
    case .json(let document, let companions)?:
      var files = [("tokenizer.json", Array(document.text.utf8))]
      files.append(
        (
          "tokenizer_config.json",
          Self.bytes(try companions.settings?.json ?? tokenizerSettings(document))
        ))
      if let tokens = companions.specialTokens {
        files.append(("special_tokens_map.json", Self.bytes(tokens.json)))
      }
      return files
    case .sentencePiece(let file)?: return try pieceFiles([UInt8](file.bytes), file.path)
    case .embeddedSentencePiece(let bytes, let path)?: return try pieceFiles(bytes, path)
    case .vocabulary?, nil:
      throw ConversionError.unusable(
        "the tokenizer is a list in a GGUF file, which no such folder can have: name its "
          + "tokenizer.json or tokenizer.model with --tokenizer")
    }
  }
}

extension ConversionSource {
  /// Levels of the autoencoder's decoder.
  var levelCount: Int {
    let numbers = tensors.lazy.filter {
      $0.part == .autoencoder && $0.name.hasPrefix("decoder.up.")
    }
    .compactMap { Int($0.name.dropFirst("decoder.up.".count).prefix { $0 != "." }) }
    return min(64, (numbers.max() ?? -1) + 1)
  }
}
