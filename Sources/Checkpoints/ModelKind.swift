import ModelFiles

/// What a file is that holds no part of a model which is run here: people mix them up all the time.
struct ModelKind: Sendable {
  /// What it is, with its article: `a LoRA adapter (rank 4, for the transformer)`.
  let description: String
  /// What can be done with it.
  let advice: String

  /// Whether it is a model, but of a family that is not run.
  let isOtherFamily: Bool
  /// Whether it is an adapter.
  let isAdapter: Bool
  /// Whether a family that is run says that it is not one of its models.
  let isRelative: Bool

  /// What can be done with a kind.
  private enum Advice {
    /// A model of a family that is not run.
    case otherFamily
    /// Something that reads texts or pictures for another family.
    case otherEncoder
    case text(String)

    /// As a sentence about the families that are run.
    func text(_ catalog: FamilyCatalog) -> String {
      switch self {
      case .otherFamily: catalog.otherFamilyAdvice
      case .otherEncoder: catalog.families.map(\.promptAdvice).joined(separator: "; ")
      case .text(let text): text
      }
    }

    var isOtherFamily: Bool {
      if case .otherFamily = self { true } else { false }
    }
  }

  /// A kind that shows in its tensors' names.
  private struct Sign {
    /// Texts of which each occurs in some name.
    let marks: [String]
    let description: String
    let advice: Advice

    init(_ marks: String..., is description: String, _ advice: Advice = .otherFamily) {
      self.marks = marks
      self.description = description
      self.advice = advice
    }

    init(_ marks: String..., is description: String, advice: String) {
      self.marks = marks
      self.description = description
      self.advice = .text(advice)
    }
  }

  /// In the order in which they decide: what has more than another comes first.
  private static let signs = [
    Sign("controlnet_blocks", is: "a ControlNet", advice: "ControlNets are not run"),
    Sign("controlnet_down_blocks", is: "a ControlNet", advice: "ControlNets are not run"),
    Sign("control_model.", is: "a ControlNet", advice: "ControlNets are not run"),
    Sign("ip_adapter.", is: "an IP-Adapter", advice: "IP-Adapters are not run"),
    Sign("ip_adapter_", is: "an IP-Adapter", advice: "IP-Adapters are not run"),
    Sign("image_proj.", is: "an IP-Adapter", advice: "IP-Adapters are not run"),
    Sign("double_blocks.", ".img_attn_qkv", is: "a HunyuanVideo transformer"),
    Sign("joint_blocks.", ".x_block.", is: "a Stable Diffusion 3 transformer"),
    Sign(
      "transformer_blocks.", ".attn.add_q_proj", "context_embedder",
      is: "a Stable Diffusion 3 transformer"),
    Sign("transformer_blocks.", ".img_mod.", is: "a Qwen-Image transformer"),
    Sign("double_stream_blocks.", is: "a HiDream transformer"),
    Sign("noise_refiner.", "cap_embedder.", is: "a Lumina 2 or Z-Image transformer"),
    Sign("cap_embedder.", is: "a Lumina transformer"),
    Sign("patchify_proj", is: "an LTX-Video transformer"),
    Sign("caption_projection.", "attn1.to_q", is: "a PixArt transformer"),
    Sign("conv_inverted", is: "a Sana transformer"),
    Sign("blocks.", ".cross_attn.", ".self_attn.", "time_projection", is: "a Wan transformer"),
    Sign("blocks.", ".attn1.to_q", "condition_embedder", is: "a Wan transformer"),
    Sign("mmdit_blocks.", is: "a transformer of Stable Cascade's kind"),
    Sign("input_blocks.", "label_emb.", is: "a Stable Diffusion XL model"),
    Sign("input_blocks.", "conditioner.embedders.", is: "a Stable Diffusion XL model"),
    Sign("down_blocks.", "add_embedding.", is: "a Stable Diffusion XL UNet"),
    Sign("input_blocks.", "middle_block.", is: "a Stable Diffusion 1 or 2 model"),
    Sign("down_blocks.", "time_embedding.", is: "a Stable Diffusion 1 or 2 UNet"),
    Sign("text_model.encoder.layers.", "visual_projection", is: "a CLIP model", .otherEncoder),
    Sign("text_model.encoder.layers.", is: "a CLIP text encoder", .otherEncoder),
    Sign("transformer.resblocks.", is: "an OpenCLIP text encoder", .otherEncoder),
    Sign("vision_model.", is: "an image encoder", .otherEncoder),
    Sign("\nt.blk.", ".attn_q", is: "a CLIP model with the names of clip.cpp", .otherEncoder),
    Sign("\nv.blk.", ".attn_q", is: "an image encoder with the names of llama.cpp", .otherEncoder),
    Sign("model.layers.", ".self_attn.", is: "a language model", .otherEncoder),
    Sign("blk.", ".attn_q", is: "a language model", .otherEncoder),
    Sign(
      "encoder.conv_in", is: "the encoder half of a VAE",
      advice: "the decoder is needed: take the whole VAE"),
    Sign(
      "encoder.layers.", is: "the encoder half of a tiny VAE",
      advice: "the decoder is needed: take its decoder"),
    Sign(".in_sum2", is: "an importance matrix", advice: "'convert --imatrix' takes it"),
    Sign("latent_tensor", is: "latents of ComfyUI", advice: "'generate --latents' takes them"),
    Sign("RDB.", is: "an upscaler (ESRGAN)", advice: "upscalers are not run"),
    Sign("body.0.rdb1", is: "an upscaler (ESRGAN)", advice: "upscalers are not run"),
    Sign("model.1.sub.", is: "an upscaler (ESRGAN)", advice: "upscalers are not run"),
    Sign(
      "string_to_param", is: "a textual inversion", advice: "textual inversions are not applied"),
    Sign("\nclip_g\n", is: "a textual inversion", advice: "textual inversions are not applied"),
    Sign("\nclip_l\n", is: "a textual inversion", advice: "textual inversions are not applied"),
    Sign("params_ema.", is: "an upscaler (ESRGAN)", advice: "upscalers are not run"),
    Sign("emb_params", is: "a textual inversion", advice: "textual inversions are not applied"),
  ]

  /// Architectures that GGUF files state.
  private static let architectures = [
    "sd1": "a Stable Diffusion 1 model",
    "sd3": "a Stable Diffusion 3 transformer", "sdxl": "a Stable Diffusion XL model",
    "wan": "a Wan transformer", "ltxv": "an LTX-Video transformer",
    "hyvid": "a HunyuanVideo transformer", "qwen_image": "a Qwen-Image transformer",
    "lumina2": "a Lumina 2 transformer", "pixart": "a PixArt transformer",
    "hidream": "a HiDream transformer", "cosmos": "a Cosmos transformer",
  ]

  /// Tells what an archive is; nil if nothing shows it.
  ///
  /// - Parameters:
  ///   - archive: one in which no part was found.
  ///   - catalog: the families that are run.
  init?(_ archive: TensorArchive, _ catalog: FamilyCatalog) {
    let names = TensorNameText(archive)
    if let adapter = Self.adapter(names, catalog) {
      self = adapter
      return
    }
    if let kind = catalog.families.lazy.flatMap(\.relatives).first(where: {
      $0.isShown(by: names)
    }) {
      self.init(
        description: kind.description, advice: catalog.advice(about: kind),
        isOtherFamily: kind.advice == nil, isRelative: true)
      return
    }
    let (description, advice): (String, Advice)
    let stated = archive.gguf?.value(for: "general.architecture")?.textPrefix(64) ?? ""
    if let sign = Self.signs.first(where: { $0.marks.allSatisfy(names.contain) }) {
      (description, advice) = (sign.description, sign.advice)
    } else if let kind = Self.architectures[stated] {
      (description, advice) = (kind, .otherFamily)
    } else if archive.gguf?.value(for: "tokenizer.ggml.tokens") != nil,
      !catalog.families.contains(where: { $0.architecture == stated })
    {
      (description, advice) = ("a language model ('\(stated)')", .otherEncoder)
    } else {
      return nil
    }
    self.init(
      description: description, advice: advice.text(catalog), isOtherFamily: advice.isOtherFamily)
  }

  private init(
    description: String, advice: String, isOtherFamily: Bool = false, isRelative: Bool = false,
    isAdapter: Bool = false
  ) {
    self.description = description
    self.advice = advice
    self.isOtherFamily = isOtherFamily
    self.isRelative = isRelative
    self.isAdapter = isAdapter
  }

  // MARK: Adapters

  /// Pieces of names that adapters have, with what they are called.
  private static let adapterMarks = [
    ("lora_magnitude_vector", "DoRA"), ("dora_scale", "DoRA"), ("hada_w1", "LoHa"),
    ("lokr_w", "LoKr"), (".oft_", "OFT"), ("_oft_", "OFT"), (".ia3_", "IA3"), ("_ia3_", "IA3"),
    (".lora_", "LoRA"), (".lora.", "LoRA"),
    ("lora_unet_", "LoRA"), ("lora_te", "LoRA"), ("lora_transformer_", "LoRA"),
    ("_lora.down", "LoRA"), ("_lora.up", "LoRA"), ("_lora1.down", "LoRA"), ("_lora2.down", "LoRA"),
    (".diff\n", "LoRA (full differences)"),
    (".diff_b\n", "LoRA (full differences)"),
  ]
  /// What the rows of an adapter's first matrix count.
  private static let rankMarks = [
    ".lora_A.", ".lora_down.", ".lora.down.", "_lora.down.", "_lora1.down.", ".hada_w1_b",
    ".lokr_w1_b",
  ]

  private static func adapter(
    _ names: TensorNameText, _ catalog: FamilyCatalog
  ) -> ModelKind? {
    // What has quantized weights too is a model, of which a part is kept as products of two.
    guard !names.contain(".qweight\n"),
      let mark = adapterMarks.first(where: { names.contain($0.0) })
    else { return nil }
    let first = names.records.first { record in
      record.name.utf8.count <= TensorNameText.maximumNameLength
        && rankMarks.contains { record.name.contains($0) }
    }
    let rank = first?.shape.first.map { "rank \($0)" }
    let article = "IO".contains(mark.1.prefix(1)) ? "an" : "a"
    let summary = AdapterSummary(names.records.map(\.name), catalog)
    if let family = summary.family {
      let facts = [rank, "for " + summary.parts].compactMap { $0 }.joined(separator: ", ")
      return ModelKind(
        description: "\(article) \(mark.1) adapter of \(family.name) (\(facts))",
        advice: summary.isApplied
          ? "'--lora' of generate and convert applies it"
          : "this kind is not applied: take a model that the adapter is merged into",
        isAdapter: true)
    }
    func occurs(_ beginnings: [String]) -> Bool {
      beginnings.contains { names.contain("\n" + $0) }
    }
    var targets: [String] = []
    if occurs(["transformer.", "lora_transformer_", "diffusion_model.", "base_model."]) {
      targets.append("for the transformer")
    }
    if occurs(["unet.", "lora_unet_"]) { targets.append("for the UNet or transformer") }
    if occurs(["text_encoder", "lora_te", "te1.", "te2."]) {
      targets.append(targets.isEmpty ? "for the text encoder" : "and the text encoder")
    }
    let facts = ([rank] + [targets.isEmpty ? nil : targets.joined(separator: " ")])
      .compactMap { $0 }.joined(separator: ", ")
    return ModelKind(
      description: "\(article) \(mark.1) adapter" + (facts.isEmpty ? "" : " (\(facts))"),
      advice: "none of the models that are run has such modules: take an adapter made for one",
      isAdapter: true)
  }
}
