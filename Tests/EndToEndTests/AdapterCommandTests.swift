import Checkpoints
import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing
import TextToImage

/// Adapters as people name them on the command line, and files that are not what they should be.
@Suite("--lora")
struct AdapterCommandTests {
  typealias Tensor = SafetensorsWriter.FloatTensor

  /// The reference's adapter of a family under other names.
  private static func renamed(
    _ files: AdapterFiles, _ adapter: String, to name: String, _ rename: (String) -> String
  ) throws -> String {
    let (tensors, metadata) = try files.adapter(adapter)
    return try files.write(
      tensors.map { Tensor(name: rename($0.name), shape: $0.shape, values: $0.values) },
      metadata: metadata.filter { $0.0 == "format" }, to: name)
  }

  private static func flat(_ name: String, behind prefix: String) -> String {
    let parts = name.split(separator: ".").map(String.init)
    guard let mark = parts.firstIndex(where: { $0.hasPrefix("lora_") }) else { return name }
    let end = parts[mark] == "lora_A" ? "lora_down" : "lora_up"
    return prefix + parts[1..<mark].joined(separator: "_") + ".\(end).weight"
  }

  /// Names in which diffusers' own are written.
  private static let spellings: [(name: String, rename: @Sendable (String) -> String)] = [
    ("bare", { String($0.dropFirst("transformer.".count)) }),
    ("PEFT", { "base_model.model." + $0.dropFirst("transformer.".count) }),
    (
      "PEFT with a name",
      {
        $0.replacing("lora_A.weight", with: "lora_A.default.weight")
          .replacing("lora_B.weight", with: "lora_B.default.weight")
      }
    ),
    (
      "old diffusers",
      { $0.replacing(".lora_A.", with: ".lora.down.").replacing(".lora_B.", with: ".lora.up.") }
    ),
    ("kohya", { flat($0, behind: "lora_unet_") }),
    ("OneTrainer", { flat($0, behind: "lora_transformer_") }),
    ("LyCORIS", { flat($0, behind: "lycoris_") }),
  ]

  @Test("names of other tools draw the same bits", arguments: ["auraflow", "flux"])
  func spellings(family: String) async throws {
    let files = try AdapterFiles(family)
    func latents(_ name: String, _ rename: (String) -> String) async throws -> [Float] {
      let path = try Self.renamed(files, "all", to: "\(name).safetensors", rename)
      return try await files.latents([AdapterPath(path: path, strength: 0.5)])
    }
    let expected = try await latents("plain") { $0 }
    for (name, rename) in Self.spellings {
      #expect(try await latents(name, rename) == expected, "\(name)")
    }
  }

  @Test("names of the original releases are those of diffusers")
  func originals() async throws {
    let files = try AdapterFiles("auraflow")
    let (tensors, _) = try files.adapter("root")
    let names = [
      ("transformer.joint_transformer_blocks", "double_layers"),
      ("transformer.single_transformer_blocks", "single_layers"),
    ]
    let streams = [
      "add_q_proj": "w1q", "add_k_proj": "w1k", "add_v_proj": "w1v", "to_add_out": "w1o",
    ]
    func original(_ name: String) -> String {
      var name = name
      for (theirs, ours) in names { name = name.replacing(theirs, with: ours) }
      for (theirs, ours) in streams { name = name.replacing(theirs, with: ours) }
      let stream = name.hasPrefix("double") ? "w2" : "w1"
      for end in ["q", "k", "v"] { name = name.replacing("to_\(end).", with: "\(stream)\(end).") }
      return name.replacing("to_out.0.", with: "\(stream)o.")
    }
    let plain = try files.write(tensors, to: "plain.safetensors")
    let expected = try await files.latents([AdapterPath(path: plain)])
    for prefix in ["diffusion_model.", "model.diffusion_model.", "lora_unet_"] {
      let renamed = tensors.map { tensor in
        let name = original(tensor.name)
        return Tensor(
          name: prefix.hasPrefix("lora_")
            ? Self.flat("x." + name, behind: prefix) : prefix + name, shape: tensor.shape,
          values: tensor.values)
      }
      let path = try files.write(renamed, to: "\(prefix)safetensors")
      #expect(try await files.latents([AdapterPath(path: path)]) == expected, "\(prefix)")
    }
  }

  /// A pair of matrices of rank 2 for a module.
  private static func pair(_ module: String, _ rows: Int, _ columns: Int) -> [Tensor] {
    [("lora_down", [2, columns]), ("lora_up", [rows, 2])].map { end, shape in
      Tensor(
        name: "\(module).\(end).weight", shape: shape,
        values: SeededWeights.values("\(module).\(end)", count: shape[0] * shape[1])
          .map { 0.3 * $0 })
    }
  }

  @Test("ComfyUI's linear1_qkv is the first rows of linear1")
  func fusedPart() async throws {
    let files = try AdapterFiles("flux")
    let part = Self.pair("diffusion_model.single_blocks.0.linear1_qkv", 96, 32)
    let whole = part.map { tensor in
      let rows = tensor.shape[0] == 96 ? 224 : tensor.shape[0]
      let rest = rows * tensor.shape[1] - tensor.values.count
      return Tensor(
        name: tensor.name.replacing("_qkv", with: ""), shape: [rows, tensor.shape[1]],
        values: tensor.values + [Float](repeating: 0, count: rest))
    }
    let latents = try await files.latents([
      AdapterPath(path: try files.write(part, to: "part.safetensors"))
    ])
    let expected = try await files.latents([
      AdapterPath(path: try files.write(whole, to: "whole.safetensors"))
    ])
    #expect(latents == expected)
    #expect(try await files.latents([]) != expected)
  }

  @Test(
    "text encoders are those with the products added to their weights",
    arguments: [
      ("text_encoder_2", "encoder.block.0.layer.0.SelfAttention.q", 32, 24),
      ("text_encoder", "text_model.encoder.layers.0.mlp.fc1", 80, 20),
    ])
  func textEncoders(part: String, module: String, rows: Int, columns: Int) async throws {
    let files = try AdapterFiles("flux")
    let flat = module.replacing(".", with: "_")
    let names =
      part == "text_encoder"
      ? ["lora_te1_\(flat)", "\(part).\(module)", "text_encoders.clip_l.transformer.\(module)"]
      : ["lora_te3_\(flat)", "lora_te2_\(flat)", "\(part).\(module)"]
    let pair = Self.pair("m", rows, columns)
    var results: [[Float]] = []
    for (index, name) in names.enumerated() {
      let tensors = pair.map {
        Tensor(name: name + $0.name.dropFirst(), shape: $0.shape, values: $0.values)
      }
      let path = try files.write(tensors, to: "\(index).safetensors")
      results.append(try await files.latents([AdapterPath(path: path, strength: 1.5)]))
    }
    #expect(results.allSatisfy { $0 == results[0] })
    #expect(try await files.latents([]) != results[0])
    // The same by changing the encoder's file.
    var weights = try SeededWeights.tensors(
      try Fixtures.json("flux-pipelines/dev/\(part)/weights.json"))
    let place = try #require(weights.firstIndex { $0.name == module + ".weight" })
    var values = weights[place].values
    #expect(weights[place].shape == [rows, columns])
    for row in 0..<rows {
      for column in 0..<columns {
        for rank in 0..<2 {
          values[row * columns + column] +=
            1.5 * pair[1].values[row * 2 + rank] * pair[0].values[rank * columns + column]
        }
      }
    }
    weights[place] = Tensor(
      name: weights[place].name, shape: weights[place].shape, values: values)
    let file = "\(part)/model.safetensors"
    try FileManager.default.removeItem(atPath: files.folder.path(file))
    _ = try files.write(weights, to: file)
    #expect(relativeError(try await files.latents([]), results[0]) < Tolerance.latents)
  }

  // MARK: The program

  @Test("generate draws with adapters, names them in the picture, and tells what matches nothing")
  func generate() throws {
    let files = try AdapterFiles("auraflow")
    let (tensors, metadata) = try files.adapter("root")
    _ = try files.write(
      tensors + [Tensor(name: "odd", shape: [1], values: [1])], metadata: metadata,
      to: "some style.safetensors")
    func run(_ options: [String]) throws -> (Data, String) {
      let outcome = try CommandLine.run(
        [
          "generate", "-m", ".", "-p", "a red fox", "-W", "64", "-H", "64", "--steps", "2", "-o",
          "a.png", "--force",
        ] + options, in: files.folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      return (
        try Data(contentsOf: URL(fileURLWithPath: files.folder.path("a.png"))), outcome.errors
      )
    }
    let (plain, _) = try run([])
    let (with, errors) = try run(["--lora", "some style.safetensors:0.5"])
    #expect(errors.contains("1 of \(tensors.count + 1) tensors match nothing"), "\(errors)")
    #expect(with != plain)
    #expect(with.range(of: Data("some style:0.5".utf8)) != nil)
    // Twice the half is the whole; memory and ways to read change nothing.
    let whole = ["--lora", "some style.safetensors:1"]
    let (one, _) = try run(whole + ["--threads", "1"])
    let (same, _) = try run(whole + ["--io", "read", "--memory", "max"])
    #expect(one == same)
  }

  @Test("convert bakes adapters in: what it writes draws what they draw")
  func convert() async throws {
    for family in ["auraflow", "flux"] {
      let files = try AdapterFiles(family)
      let path = try files.path("all")
      let expected = try await files.latents([AdapterPath(path: path, strength: 0.7)])
      for output in ["baked.gguf", "baked/"] {
        let outcome = try CommandLine.run(
          ["convert", ".", "\(output)", "--type", "f32", "--lora", "all.safetensors:0.7", "-q"],
          in: files.folder.url)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let pipeline = try Pipeline(path: files.folder.path(output))
        let latents = try await pipeline.generate(try files.request()).latents
        // Products of sums instead of sums of products, and positions and the like in F16.
        let limit: Float = output == "baked/" ? Tolerance.latents : 2e-2
        #expect(relativeError(latents, expected) < limit, "\(family) \(output)")
      }
    }
  }

  /// Modules of AuraFlow's fixture with an adapter of each kind; its hidden width is 32.
  private static func kinds() -> [Tensor] {
    func tensors(_ module: String, _ entries: [(String, [Int])]) -> [Tensor] {
      entries.map { end, shape in
        let name = "diffusion_model.\(module).\(end)"
        let values = SeededWeights.values(name, count: shape.reduce(1, *))
        // Lengths of rows and columns are about 1.
        let offset: Float = end == "dora_scale" ? 1 : 0
        return Tensor(name: name, shape: shape, values: values.map { offset + 0.4 * $0 })
      }
    }
    return tensors(
      "single_layers.0.attn.w1q",
      [("lora_down.weight", [2, 32]), ("lora_up.weight", [32, 2]), ("dora_scale", [32, 1])])
      + tensors(
        "single_layers.0.attn.w1k",
        [("lora_down.weight", [3, 32]), ("lora_up.weight", [32, 3]), ("dora_scale", [1, 32])])
      + tensors("single_layers.0.attn.w1v", [("lokr_w1", [4, 8]), ("lokr_w2", [8, 4])])
      + tensors(
        "single_layers.1.attn.w1q",
        [
          ("hada_w1_a", [32, 2]), ("hada_w1_b", [2, 32]), ("hada_w2_a", [32, 2]),
          ("hada_w2_b", [2, 32]),
        ])
      + tensors(
        "single_layers.1.attn.w1k",
        [("lokr_w1", [4, 8]), ("lokr_w2", [8, 4]), ("dora_scale", [32, 1])])
      + tensors("single_layers.1.attn.w1v", [("weight", [32]), ("on_input", [])])
      + tensors("single_layers.1.attn.w1o", [("diff", [32, 32])])
      + tensors("init_x_linear", [("diff_b", [32])])
      + tensors("modF.1", [("ia3_l", [64, 1])])
  }

  @Test("adapters of every kind do what they do to baked weights", arguments: [1, 0.5, -0.4])
  func everyKind(strength: Double) async throws {
    let files = try AdapterFiles("auraflow")
    let path = try files.write(Self.kinds(), to: "kinds.safetensors")
    let latents = try await files.latents([AdapterPath(path: path, strength: strength)])
    #expect(relativeError(latents, try await files.latents([])) > 0.01)
    let outcome = try CommandLine.run(
      ["convert", ".", "baked/", "--type", "f32", "--lora", "kinds.safetensors:\(strength)", "-q"],
      in: files.folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let pipeline = try Pipeline(path: files.folder.path("baked/"))
    let baked = try await pipeline.generate(try files.request()).latents
    #expect(relativeError(latents, baked) < Tolerance.latents)
  }

  @Test("inspect says what an adapter is for")
  func inspection() throws {
    for (family, text) in [
      ("auraflow", "a LoRA adapter of AuraFlow (rank 3, for "),
      ("flux", "a LoRA adapter of FLUX.1 (rank 3, for "),
    ] {
      let files = try AdapterFiles(family)
      _ = try files.path(family == "flux" ? "kohya" : "root")
      let outcome = try CommandLine.run(
        ["inspect", family == "flux" ? "kohya.safetensors" : "root.safetensors"],
        in: files.folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      #expect(outcome.output.contains("it is " + text), "\(outcome.output.suffix(300))")
      #expect(outcome.output.contains(" of the CLIP text encoder") == (family == "flux"))
      #expect(!outcome.output.contains("match nothing"))
      #expect(!outcome.output.contains("missing here"))
    }
  }

  @Test("convert refuses to bake adapters into what it measures")
  func refusals() throws {
    let folder = try TemporaryFolder()
    let outcome = try CommandLine.run(
      ["convert", "in.gguf", "out.gguf", "--lora", "a.safetensors", "--target-size", "1GB"],
      in: folder.url)
    #expect(outcome.status == 64)
    #expect(outcome.errors.contains("--lora cannot be combined"))
  }
}
