import BlockFormats
import Checkpoints
import ModelFiles
import TestSupport
import Testing

/// What lies beside a weight and changes what it means is applied, or refused with its name.
@Suite("Companions of weights")
struct WeightCompanionsTests {
  typealias Tensor = RawSafetensors.Tensor

  private static let base = "single_layers.0.attn.w1q"
  /// 2, 4, -1, 0.5; 1, 1, 1, 1; 0, 0, 0, 0 in F8_E4M3.
  private static let codes: [UInt8] = [
    0x40, 0x48, 0xB8, 0x30, 0x38, 0x38, 0x38, 0x38, 0, 0, 0, 0,
  ]

  /// Names that tell the two parts of one file.
  private static let transformerNames =
    (["w1q", "w1k", "w1v", "w1o"].map { "single_layers.0.attn.\($0).weight" }
    + ["register_tokens", "positional_encoding"]).map { "model." + $0 }
  private static let textEncoderNames =
    ["q", "k", "v", "o"].map { "te.encoder.block.0.layer.0.SelfAttention.\($0).weight" }
    + ["te.encoder.final_layer_norm.weight", "te.encoder.block.0.layer.0.layer_norm.weight"]

  /// Opens a transformer with one fp8 matrix of `[3, 4]` and what lies beside it.
  private func weights(
    _ companions: [Tensor], type: ElementType = .f8_e4m3, prefix: String = "",
    metadata: [(key: String, value: String)] = [], allowsExtra: Bool = true
  ) throws -> StoredWeights {
    let others = ["w1k", "w1v", "w1o"].map {
      Tensor(prefix + "single_layers.0.attn.\($0).weight", [1], [1])
    }
    let more = ["register_tokens", "positional_encoding", "init_x_linear.weight"].map {
      Tensor(prefix + $0, [1], [1])
    }
    let weight = Tensor(prefix + Self.base + ".weight", type, [3, 4], Self.codes)
    let folder = try TemporaryFolder()
    let path = try folder.write(
      RawSafetensors.encode(
        others + more + [weight]
          + companions.map { Tensor(prefix + $0.name, $0.type, $0.shape, $0.bytes) },
        metadata: metadata), to: "t.safetensors")
    var hints = ArchitectureHints()
    hints.allowsExtraTensors = allowsExtra
    return try PartSources([.transformer], ModelPaths(transformer: path), hints: hints)
      .parts[0].weights
  }

  private func values(_ weights: StoredWeights) throws -> [Float] {
    try weights.values(Self.base + ".weight", rows: 3, columns: 4)
  }

  private func fault(_ companions: [Tensor], type: ElementType = .f8_e4m3) -> String {
    let error = #expect(throws: ModelFileError.self) {
      _ = try weights(companions, type: type)
    }
    return error?.description ?? ""
  }

  @Test(
    "one scale, under each name and prefix", arguments: ["weight_scale", "scale_weight"],
    ["", "model.diffusion_model."])
  func scalar(_ name: String, _ prefix: String) throws {
    for shape in [[], [1], [1, 1]] {
      let opened = try weights(
        [
          Tensor("\(Self.base).\(name)", shape, [0.5]), Tensor("\(Self.base).input_scale", [], [9]),
        ],
        prefix: prefix, allowsExtra: false)
      #expect(try values(opened) == [1, 2, -0.5, 0.25, 0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0])
    }
  }

  @Test("one scale a row", arguments: [[3], [3, 1]])
  func rows(_ shape: [Int]) throws {
    let opened = try weights(
      [Tensor(Self.base + ".weight_scale", shape, [1, 10, 100])], allowsExtra: false)
    #expect(try values(opened) == [2, 4, -1, 0.5, 10, 10, 10, 10, 0, 0, 0, 0])
    let tensors = try opened.tensors()
    let tensor = try #require(tensors.first { $0.name == Self.base + ".weight" })
    #expect(tensor.scale == .rows([1, 10, 100]) && tensor.columns == 4)
  }

  @Test("fp8 in a container of bytes is what its description says")
  func container() throws {
    let description = Array(#"{"format": "float8_e4m3fn"}"#.utf8)
    let scale = Tensor(Self.base + ".weight_scale", [], [2])
    let opened = try weights(
      [Tensor(Self.base + ".comfy_quant", .u8, [description.count], description), scale], type: .u8)
    #expect(try values(opened)[0..<4] == [4, 8, -2, 1])
    let metadata = #"{"layers": {"\#(Self.base)": {"format": "float8_e4m3fn"}}}"#
    let stated = try weights(
      [scale], type: .u8, prefix: "model.", metadata: [("_quantization_metadata", metadata)])
    #expect(try values(stated)[0..<4] == [4, 8, -2, 1])
  }

  @Test(
    "what cannot be applied is refused with its name, whatever flag is given",
    arguments: [
      ("weight_scale", [2], "one for each of its 3 rows"),
      ("weight_scale", [3, 4], "one for each of its 3 rows"),
      ("weight_scale_inv", [1, 1], "a scale of the weight"),
      ("scale", [1], "a scale of the weight"), ("weight.scale", [1], "a scale of the weight"),
      ("pre_quant_scale", [4], "a scale of the weight"), ("bias", [3], "is a bias that"),
      ("zero_point", [1], "a zero point"), ("weight_zero_point", [3], "a zero point"),
      ("lora_A.weight", [2, 4], "an adapter"), ("lora_magnitude_vector", [3], "an adapter"),
      ("weight_mask", [3, 4], "may change what it means"), ("anything.else", [1], "may change"),
    ])
  func refused(_ name: String, _ shape: [Int], _ message: String) {
    let tensor = Tensor(
      "\(Self.base).\(name)", shape, Array(repeating: 1, count: shape.reduce(1, *)))
    let text = fault([tensor])
    #expect(text.contains("'\(Self.base).\(name)'") && text.contains(message), "\(text)")
  }

  @Test("companions of parameters that are no module's weight are refused too")
  func parameters() {
    #expect(fault([Tensor("register_tokens_scale", [1], [2])]).contains("'register_tokens_scale'"))
    #expect(
      fault([Tensor("register_tokens.absmax2", [1], [2])]).contains("register_tokens.absmax2"))
  }

  @Test(
    "fp8 without a scale is as it is; among scaled ones it is told, with the mark of all it is refused"
  )
  func unscaled() throws {
    let matrix = Tensor("single_layers.1.attn.w1q.weight", .f8_e4m3, [2, 2])
    let folder = try TemporaryFolder()
    let others =
      ["w1k", "w1v", "w1o"].map { Tensor("single_layers.0.attn.\($0).weight", [1], [1]) }
      + ["register_tokens", "positional_encoding"].map { Tensor($0, [1], [1]) }
    let first = Tensor(Self.base + ".weight", .f8_e4m3, [3, 4], Self.codes)
    func open(_ companions: [Tensor]) throws -> PartSources {
      let path = try folder.write(
        RawSafetensors.encode(others + [first, matrix] + companions), to: "t.safetensors")
      return try PartSources(
        [.transformer], ModelPaths(transformer: path), hints: ArchitectureHints())
    }
    let scale = Tensor(Self.base + ".scale_weight", [], [2])
    let mark = Tensor("scaled_fp8", .f8_e4m3, [0])
    #expect(try open([]).notes.isEmpty)
    #expect(
      try open([scale, mark]).notes.first?.contains("'single_layers.1.attn.w1q.weight'") == true)
    let error = #expect(throws: ModelFileError.self) { _ = try open([mark]) }
    #expect(error?.fault.contains("'scaled_fp8' says that all are scaled") == true)
  }

  @Test("the mark of a part is about that part alone, whatever others have")
  func markOfPart() throws {
    let folder = try TemporaryFolder()
    let (transformer, text) = (Self.transformerNames, Self.textEncoderNames)
    let mark = RawSafetensors.Tensor("model.scaled_fp8", .f8_e4m3, [0])
    func open(_ part: Slot, _ tensors: [Tensor]) throws {
      let path = try folder.write(RawSafetensors.encode(tensors), to: "all.safetensors")
      _ = try PartSource(part, path: path)
    }
    let small = transformer.map { Tensor($0, .f8_e4m3, [2, 2]) }
    let scaled =
      text.map { Tensor($0, .f8_e4m3, [2, 2]) }
      + text.map { Tensor($0.dropLast("weight".count) + "scale_weight", [], [2]) }
    let error = #expect(throws: ModelFileError.self) {
      try open(.transformer, small + scaled + [mark])
    }
    #expect(error?.fault.contains("'model.scaled_fp8' says") == true)
    try open(.textEncoder, small + scaled + [mark])
    let other = Tensor("te.scaled_fp8", .f8_e4m3, [0])
    try open(.transformer, small + text.map { Tensor($0, .f16, [2, 2]) } + [other])
  }

  @Test("rows of zeros may have the scale 0, a whole matrix may not")
  func zeroScales() throws {
    let opened = try weights([Tensor(Self.base + ".weight_scale", [3], [1, 2, 0])])
    #expect(try values(opened)[8...] == [0, 0, 0, 0])
    let off = try weights([Tensor(Self.base + ".weight_scale", [3], [0, 0, 0])])
    #expect(throws: ModelFileError.self) { _ = try values(off) }
  }

  @Test("what no picture needs may be there: losses, decoders of text, averaged copies")
  func harmless() throws {
    let folder = try TemporaryFolder()
    let vae =
      ["conv_in.weight", "conv_in.bias", "conv_out.weight", "conv_out.bias"]
      + ["norm_out.weight", "norm_out.bias"]
    let text =
      ["q", "k", "v", "o"].map { "te.encoder.block.0.layer.0.SelfAttention.\($0).weight" }
      + ["te.encoder.final_layer_norm.weight", "te.shared.weight"]
      // What tells UMT5 from T5.
      + ["te.encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"]
    let extra = [
      "first_stage_model.loss.logvar", "first_stage_model.model_ema.decay",
      "te.decoder.block.0.layer.0.SelfAttention.q.SCB", "te.lm_head.weight",
    ]
    let path = try folder.write(
      RawSafetensors.encode(
        (vae.map { "first_stage_model.decoder." + $0 } + text + extra).map { Tensor($0, [1], [1]) }),
      to: "all.safetensors")
    let sources = try PartSources(
      [.textEncoder, .autoencoder], ModelPaths(model: path), hints: ArchitectureHints())
    #expect(sources.parts.count == 2)
  }

  @Test("a scale of the inputs alone tells that the weight's own was lost")
  func lostScale() {
    #expect(fault([Tensor(Self.base + ".input_scale", [], [2])]).contains("without its scale"))
  }

  @Test(
    "in layers that are used nothing unknown is skipped, nor scales of fp8 that have no weight",
    arguments: [
      ("single_layers.0.attn.norm_q.weight", "lies in a layer of the transformer"),
      ("single_layers.0.attn.w1q_weight_scale", "looks like a scale"),
      ("scales.single_layers.0.attn.w1q.weight_scale", "looks like a scale"),
      ("single_layers_0_attn_w1q_scale_weight", "looks like a scale"),
      ("blah.weight_zero_point", "looks like a scale"), ("7.scales", "looks like a scale"),
    ])
  func hiddenCompanions(_ name: String, _ message: String) {
    let text = fault([Tensor(name, [1], [2])])
    #expect(text.contains("'\(name)'") && text.contains(message), "\(text)")
  }

  @Test("two scales, and scales that are no numbers, are refused")
  func contradictions() throws {
    let two = ["weight_scale", "scale_weight"].map { Tensor("\(Self.base).\($0)", [], [2]) }
    #expect(fault(two).contains("a second scale"))
    for value in [Float.nan, 0, -1] {
      let wrong = try weights([Tensor(Self.base + ".weight_scale", [], [value])])
      let error = #expect(throws: ModelFileError.self) { _ = try values(wrong) }
      #expect(error?.fault.contains("weight_scale") == true)
    }
  }

  @Test("formats of ComfyUI that are not read are named, in tensors and in the header")
  func formats() throws {
    for format in [
      #"{"format": "int8_blockwise"}"#, #"{"format": "float8_e4m3fn", "convrot": true}"#,
      #"{"format": "nvfp4"}"#,
    ] {
      let bytes = Array(format.utf8)
      #expect(
        fault([
          Tensor(Self.base + ".comfy_quant", .u8, [bytes.count], bytes),
          Tensor(Self.base + ".weight_scale", [], [1]),
        ]).contains("is quantized by ComfyUI ("))
      let error = #expect(throws: ModelFileError.self) {
        _ = try weights(
          [Tensor(Self.base + ".weight_scale", [], [1])],
          metadata: [("_quantization_metadata", "{\"layers\": {\"unknown\": \(format)}}")])
      }
      #expect(error?.kind == .unsupported && error?.fault.contains("ComfyUI (") == true)
    }
  }

  @Test(
    "a description of layers that cannot be read is refused, not skipped",
    arguments: ["{broken", "{\"layers\": 7}", "[]"])
  func brokenMetadata(_ text: String) {
    let error = #expect(throws: ModelFileError.self) {
      _ = try weights([], metadata: [("_quantization_metadata", text)])
    }
    #expect(error?.fault.contains("'_quantization_metadata'") == true)
  }

  @Test("a long description of layers is read to its end")
  func longMetadata() {
    let text =
      "{\"note\": \"\(String(repeating: "x", count: 2 << 20))\", "
      + "\"layers\": {\"a\": {\"format\": \"nvfp4\"}}}"
    let error = #expect(throws: ModelFileError.self) {
      _ = try weights([], metadata: [("_quantization_metadata", text)])
    }
    #expect(error?.fault.contains("ComfyUI (nvfp4)") == true)
  }

  @Test("descriptions in every shard count")
  func metadataOfShards() throws {
    let folder = try TemporaryFolder()
    let names =
      ["register_tokens", "positional_encoding", "init_x_linear.weight"]
      + ["w1q", "w1k", "w1v", "w1o"].map { "single_layers.0.attn.\($0).weight" }
    for (number, format) in [(1, "float8_e4m3fn"), (2, "nvfp4")] {
      let tensors = number == 1 ? names.map { Tensor($0, [1], [1]) } : []
      try folder.write(
        RawSafetensors.encode(
          tensors,
          metadata: [("_quantization_metadata", "{\"layers\":{\"a\":{\"format\":\"\(format)\"}}}")]),
        to: "t-0000\(number)-of-00002.safetensors")
    }
    let error = #expect(throws: ModelFileError.self) {
      _ = try PartSource(.transformer, path: folder.path("t-00001-of-00002.safetensors"))
    }
    #expect(error?.fault.contains("nvfp4") == true)
  }

  @Test("refused companions are no strangers that a flag would skip")
  func refusedOnce() throws {
    let folder = try TemporaryFolder()
    let names = ["w1q", "w1k", "w1v", "w1o"].map { "single_layers.0.attn.\($0).weight" }
    let more = ["register_tokens", "positional_encoding", Self.base + ".zero_point"]
    let path = try folder.write(
      RawSafetensors.encode((names + more).map { Tensor($0, [1], [1]) }), to: "t.safetensors")
    let inspection = try ModelInspection(path: path)
    #expect(inspection.faults.count == 1 && inspection.strangers.isEmpty)
  }

  @Test("what is wrong with one part is no fault of another in the same file")
  func otherPart() throws {
    let folder = try TemporaryFolder()
    let scale = "te.encoder.block.0.layer.0.SelfAttention.q.weight.absmax"
    let path = try folder.write(
      RawSafetensors.encode(
        (Self.transformerNames + Self.textEncoderNames + [scale]).map { Tensor($0, [1], [1]) }),
      to: "all.safetensors")
    _ = try PartSource(.transformer, path: path)
    let error = #expect(throws: ModelFileError.self) {
      _ = try PartSource(.textEncoder, path: path)
    }
    #expect(error?.fault.contains("bitsandbytes") == true)
  }

  @Test("a layer described as scaled has a scale")
  func missingScale() {
    let bytes = Array(#"{"format": "float8_e4m3fn"}"#.utf8)
    #expect(
      fault([Tensor(Self.base + ".comfy_quant", .u8, [bytes.count], bytes)])
        .contains("without its scale ('weight_scale')"))
  }

  @Test("strangers are refused by name, and skipped where that is wanted")
  func strangers() throws {
    let stranger = Tensor("stranger.weight", [], [2])
    _ = try weights([stranger])
    for name in ["scale_factor", "upscaler.conv.weight", "vae_scale"] {
      _ = try weights([Tensor(name, [], [2])])
    }
    #expect(throws: ModelFileError.self) { _ = try weights([stranger], allowsExtra: false) }
  }
}
