import Checkpoints
import Foundation
import ModelFiles
import TestSupport
import Testing
import TextToImage

/// Files that look like FLUX.1's and are not run: one line each that says what they are.
@Suite("What is not FLUX.1 is named")
struct FluxRefusalTests {
  typealias Tensor = FluxFiles.Tensor

  private let files: FluxFiles
  private var folder: TemporaryFolder { files.folder }

  init() throws { files = try FluxFiles("real-heads") }

  /// A tensor of zeros.
  private static func zeros(_ name: String, _ shape: [Int] = [2, 2]) -> Tensor {
    .init(name: name, shape: shape, values: Array(repeating: 0, count: shape.reduce(1, *)))
  }

  /// A kind of file, made of the transformer's tensors.
  struct Kind: Sendable, CustomTestStringConvertible {
    /// What the message begins with.
    let testDescription: String
    /// Whether the tensors have diffusers' names.
    var isInFolder = false
    /// Beginnings of names that are left out, or pieces of them.
    var without: [String] = []
    /// Names of what it has instead.
    var with: [String] = []
    /// Columns of the image's input; nil for the usual ones.
    var columns: Int?
    /// Only what it has instead.
    var isAlone = false
  }

  static let kinds = [
    Kind(testDescription: "is FLUX.1 Fill: it takes a picture as input", columns: 384),
    Kind(testDescription: "is FLUX.1 Fill", isInFolder: true, columns: 384),
    Kind(testDescription: "is FLUX.1 Canny or Depth: it takes a picture", columns: 128),
    Kind(
      testDescription: "is FLUX.1 Redux", with: ["redux_up.weight", "redux_down.weight"],
      isAlone: true),
    Kind(
      testDescription: "is a ControlNet of FLUX.1", isInFolder: true,
      without: ["proj_out", "norm_out"],
      with: ["controlnet_blocks.0.weight", "controlnet_x_embedder.weight"]),
    Kind(
      testDescription: "is a ControlNet of FLUX.1", without: ["single_blocks", "final_layer"],
      with: ["controlnet_blocks.0.weight", "input_hint_block.0.weight", "pos_embed_input.weight"]),
    Kind(
      testDescription: "is a FLUX.2 transformer",
      without: ["_mod.", "modulation.lin", "vector_in", ".bias"],
      with: ["double_stream_modulation_img.lin.weight", "single_stream_modulation.lin.weight"]),
    Kind(
      testDescription: "is a FLUX.2 transformer", isInFolder: true,
      without: ["norm1", ".norm.linear", ".bias", "proj_mlp"],
      with: [
        "double_stream_modulation_img.linear.weight",
        "single_transformer_blocks.0.attn.to_qkv_mlp_proj.weight",
      ]),
    Kind(
      testDescription: "is a Chroma transformer",
      without: ["_mod.", "modulation.lin", "vector_in", "time_in", "guidance_in"],
      with: ["distilled_guidance_layer.in_proj.weight"]),
    Kind(
      testDescription: "is a LoRA adapter of FLUX.1 for pictures",
      without: [".weight", ".bias"],
      with: ["img_in.lora_A.weight", "double_blocks.0.img_attn.qkv.lora_A.weight"]),
    Kind(
      testDescription: "is a LoRA adapter of FLUX.1 (rank 2",
      with: [
        "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight",
        "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight",
      ], isAlone: true),
    Kind(
      testDescription: "is a LoRA adapter of FLUX.1 (rank 2",
      with: [
        "transformer.transformer_blocks.0.attn.to_q.lora_A.weight",
        "transformer.transformer_blocks.0.attn.to_q.lora_B.weight",
      ], isAlone: true),
    Kind(
      testDescription: "is a LoRA adapter of FLUX.1 (rank 2",
      with: ["qkv_lora1.down", "qkv_lora2.down", "proj_lora1.up"].map {
        "double_blocks.0.processor.\($0).weight"
      }, isAlone: true),
    Kind(
      testDescription: "is quantized by bitsandbytes (NF4)",
      with: ["absmax", "quant_map", "quant_state.bitsandbytes__nf4"].map {
        "double_blocks.0.img_attn.qkv.weight.\($0)"
      }),
    Kind(
      testDescription: "is quantized by Nunchaku (SVDQuant)", isInFolder: true,
      without: ["attn.to_", "attn.add_", ".ff"],
      with: ["qweight", "wscales", "smooth", "lora_down", "lora_up"].map {
        "transformer_blocks.0.qkv_proj.\($0)"
      }),
  ]

  private func tensors(_ kind: Kind) throws -> [Tensor] {
    let whole =
      try kind.isInFolder ? files.inFolder("transformer") : files.outside("transformer")
    let kept = whole.filter { tensor in
      !kind.isAlone && !kind.without.contains { tensor.name.contains($0) }
    }.map { tensor in
      let isInput = ["img_in.weight", "x_embedder.weight"].contains(tensor.name)
      guard isInput, let columns = kind.columns else { return tensor }
      return Self.zeros(tensor.name, [tensor.shape[0], columns])
    }
    return kept + kind.with.map { Self.zeros($0) }
  }

  private func fault(_ paths: ModelPaths) throws -> String {
    let error = #expect(throws: ModelFileError.self) { _ = try Pipeline(paths) }
    #expect(error?.kind == .unsupported, "\(error?.description ?? "")")
    #expect(error?.description.contains("\n") == false)
    return error?.fault ?? ""
  }

  @Test("by tensors, whether other parts are there or not", arguments: kinds)
  func named(_ kind: Kind) throws {
    let path = try files.write(try tensors(kind), to: "file.safetensors")
    for paths in [
      ModelPaths(model: path), ModelPaths(transformer: path),
      ModelPaths(model: folder.path, transformer: path),
    ] {
      let fault = try fault(paths)
      #expect(fault.hasPrefix(kind.testDescription), "\(fault)")
    }
    let inspection = try CommandLine.run(["inspect", path], in: folder.url)
    let what = String(kind.testDescription.dropFirst("is ".count))
    #expect(inspection.status == 0 && inspection.output.contains("is \(what)"))
    let others = ["LoRA adapter", "FLUX.2", "ControlNet"].filter { !what.contains($0) }
    #expect(!others.contains { inspection.output.contains("it is a \($0)") })
    #expect(
      inspection.output.contains("family: FLUX.1\n") == what.hasPrefix("quantized"))
    let generated = try CommandLine.run(
      ["generate", "-p", "x", "-m", folder.path, "--transformer", path], in: folder.url)
    #expect(generated.status == 69 && generated.errorLines.count == 1, "\(generated.errors)")
  }

  @Test("Kontext, whose tensors are those of dev, by the name in a GGUF")
  func kontext() throws {
    for (key, name, isTold) in [
      ("general.name", "FLUX.1 Kontext Dev", true), ("general.basename", "flux1-kontext", true),
      ("general.name", "FLUX.1 Dev", false),
    ] {
      let path = folder.path("\(name).gguf")
      try GGUFWriter.writeHalves(
        try files.outside("transformer"), texts: [("general.architecture", "flux"), (key, name)],
        to: path)
      let paths = ModelPaths(model: folder.path, transformer: path)
      guard isTold else {
        _ = try Pipeline(paths)
        continue
      }
      #expect(try fault(paths).hasPrefix("is FLUX.1 Kontext: it takes a picture as input"))
      #expect(
        try ModelInspection(path: path).faults.contains { $0.fault.hasPrefix("is FLUX.1 Kontext") })
    }
  }

  @Test("Kontext by its file's name, or by the title in its metadata")
  func kontextOfSafetensors() throws {
    let tensors = try files.outside("transformer")
    let named = try files.write(tensors, to: "flux1-dev-Kontext_fp16.safetensors")
    let titled = try folder.write(
      SafetensorsWriter.encode(tensors, metadata: [("modelspec.title", "FLUX.1 Kontext [dev]")]),
      to: "titled.safetensors")
    for path in [named, titled] {
      let fault = try fault(ModelPaths(model: folder.path, transformer: path))
      #expect(fault.hasPrefix("is FLUX.1 Kontext: it takes a picture as input"), "\(fault)")
    }
    _ = try Pipeline(
      ModelPaths(
        model: folder.path,
        transformer: try files.write(tensors, to: "flux1-dev-context.safetensors")))
  }

  @Test("where nothing tells the family, its denoiser is asked for, of either")
  func unknownFamily() throws {
    func fault(_ path: String) -> String {
      #expect(throws: ModelFileError.self) { _ = try Pipeline(ModelPaths(model: path)) }?.fault
        ?? ""
    }
    let vae = try files.write(try files.outside("vae"), to: "alone/ae.safetensors")
    let both = "transformer of an AuraFlow model"
    let missing = fault(vae)
    #expect(missing.hasPrefix("holds a VAE only; missing: the \(both) (--transformer; "))
    #expect(missing.contains(" or the transformer of a FLUX.1 model (--transformer; "))
    #expect(missing.hasSuffix(", and what belongs to it"))
    // A file beside it that could be it is named; one that cannot be run is not.
    let fill = try tensors(Kind(testDescription: "", columns: 384))
    _ = try files.write(fill, to: "alone/a.safetensors")
    #expect(fault(vae) == missing)
    _ = try files.write(try files.outside("transformer"), to: "alone/b.safetensors")
    #expect(
      fault(vae).hasSuffix(
        "beside it lies what --transformer \(folder.path("alone/b.safetensors")) would take, or "
          + "name the folder"))
    let adapter = try files.write(
      [Self.zeros("lora_unet_double_blocks_0_img_attn_proj.lora_down.weight")],
      to: "adapter.safetensors")
    #expect(fault(adapter).contains("where a \(both) or a FLUX.1 model is expected"))
    // Only FLUX.1 reads with this encoder.
    let encoder = try files.write(try files.outside("text_encoder_2"), to: "t5/t5xxl.safetensors")
    #expect(fault(encoder).contains("missing: transformer (--transformer; "))
  }

  @Test(
    "pipelines of other classes",
    arguments: [
      ("FluxKontextPipeline", "FLUX.1 Kontext"), ("FluxFillPipeline", "FLUX.1 Fill"),
      ("FluxControlPipeline", "FLUX.1 Canny or Depth"), ("ChromaPipeline", "a Chroma transformer"),
      ("FluxControlNetPipeline", "a ControlNet of FLUX.1"), ("Flux2Pipeline", "a FLUX.2 "),
    ])
  func pipelineClass(_ name: String, _ kind: String) throws {
    let path = folder.path("model_index.json")
    let text = try String(contentsOfFile: path, encoding: .utf8)
    try folder.write(
      Array(text.replacing("\"FluxPipeline\"", with: "\"\(name)\"").utf8), to: "model_index.json")
    let fault = try fault(ModelPaths(model: folder.path))
    #expect(fault.hasPrefix("is \(kind)") && fault.contains("'\(name)'"), "\(fault)")
    #expect(try ModelInspection(path: folder.path).family.name == "FLUX.1")
  }

  // MARK: Parts of other models

  /// A T5 encoder of three layers.
  private func t5(isUMT5: Bool) throws -> [Tensor] {
    let bias = "relative_attention_bias"
    return try files.inFolder("text_encoder_2").flatMap { tensor in
      guard tensor.name.contains("block.0.") else { return [tensor] }
      return (0..<3).compactMap { layer in
        if layer > 0, tensor.name.contains(bias), !isUMT5 { return nil }
        return tensor.renamed(tensor.name.replacing("block.0.", with: "block.\(layer)."))
      }
    }
  }

  @Test("text encoders and autoencoders of other models")
  func otherParts() throws {
    func fault(_ option: String, _ tensors: [Tensor]) throws -> ModelFileError? {
      var paths = ModelPaths(model: folder.path)
      paths.parts[option] = try files.write(tensors, to: "part.safetensors")
      return #expect(throws: ModelFileError.self) { _ = try Pipeline(paths) }
    }
    #expect(
      try fault("t5xxl", try t5(isUMT5: true))?.fault.hasPrefix("is a UMT5 text encoder") == true)
    // Twice as wide as CLIP-L.
    let wide = try files.inFolder("text_encoder").map {
      Self.zeros(
        $0.name, $0.shape.map { [256: 512, 1024: 2048][$0] ?? $0 })
    }
    #expect(
      try fault("clip-l", wide)?.fault.contains("outputs 512 features, the transformer's") == true)
    #expect(
      try fault("clip-l", [Self.zeros("transformer.resblocks.0.attn.in_proj_weight")])?.fault
        .hasPrefix("is an OpenCLIP text encoder") == true)
    let narrow = try files.outside("vae").map { tensor in
      tensor.name == "decoder.conv_in.weight"
        ? Self.zeros(tensor.name, [tensor.shape[0], 4, 3, 3]) : tensor
    }
    #expect(
      try fault("vae", narrow)?.fault
        .contains("decodes 4 latent channels, the transformer makes 16") == true)
    for (option, part) in [("t5xxl", "text_encoder"), ("clip-l", "text_encoder_2")] {
      #expect(try fault(option, try files.inFolder(part))?.fault.hasPrefix("holds a ") == true)
    }
  }

  private static let guides = #""guidance_embeds": true"#
  private static let axes = #""axes_dims_rope": ["#
  private static let quant = #""use_post_quant_conv": false"#

  @Test(
    "configurations that contradict the tensors",
    arguments: [
      ("transformer", guides, #""guidance_embeds": false"#, "'guidance_embeds' is false"),
      ("transformer", guides, #""guidance_embeds": 1"#, "must be true or false"),
      ("transformer", axes, #""axes_dims_rope": [2, 4, 6], "x": ["#, "[2, 4, 6]"),
      ("vae", quant, #""use_post_quant_conv": true"#, "no tensor"),
    ])
  func contradictions(part: String, old: String, new: String, fault: String) throws {
    let file = folder.url.appendingPathComponent("\(part)/config.json")
    let text = try String(contentsOf: file, encoding: .utf8)
    #expect(text.contains(old), "\(text)")
    try text.replacing(old, with: new).write(to: file, atomically: true, encoding: .utf8)
    let outcome = try CommandLine.run(["generate", "-p", "x", "-m", folder.path], in: folder.url)
    #expect(outcome.status == 65 && outcome.errorLines.count == 1)
    #expect(
      outcome.errors.contains("\(part)/config.json: ") && outcome.errors.contains(fault),
      "\(outcome.errors)")
  }

  @Test("AuraFlow with parts and flags of FLUX.1, and FLUX.1 with AuraFlow's")
  func mixed() throws {
    let aura = try SeededWeights.pipelineFolder("quantizable")
    let clip = folder.path("text_encoder")
    let t5 = try files.write(try t5(isUMT5: false), to: "t5.safetensors")
    let mixes: [(model: TemporaryFolder, flags: [String], text: String)] = [
      (aura, ["--clip-l", clip], "name its parts with --transformer, --text-encoder, --vae"),
      (aura, ["--clip-tokenizer", clip], "name its tokenizers with --tokenizer"),
      (aura, ["--text-encoder", t5], "is a T5 text encoder (v1.1; only its first layer has"),
      (aura, ["--t5xxl", t5], "AuraFlow needs Pile-T5-XL"),
      (folder, ["--text-encoder", t5], "with --transformer, --t5xxl, --clip-l, --vae"),
      (folder, ["--head-dimension", "128"], "has nothing that this would set"),
    ]
    for (model, flags, text) in mixes {
      let outcome = try CommandLine.run(
        ["generate", "-p", "x", "-m", model.path] + flags, in: folder.url)
      #expect(outcome.status == 69 && outcome.errorLines.count == 1, "\(flags)")
      #expect(outcome.errors.contains(text), "\(flags): \(outcome.errors)")
    }
    let schnell = try SeededWeights.pipelineFolder("schnell", in: "flux-pipelines")
    for model in [aura, schnell] {
      let outcome = try CommandLine.run(
        ["generate", "-p", "x", "-m", model.path, "--guidance", "3"], in: folder.url)
      #expect(outcome.status == 64 && outcome.errors.contains("(--guidance-scale)"))
    }
  }
}
