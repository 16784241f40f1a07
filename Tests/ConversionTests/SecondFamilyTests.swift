import AuraFlowFamily
import BlockFormats
import Checkpoints
import Conversion
import Foundation
import Machine
import ModelFiles
import ModelSynthesis
import Networks
import TestSupport
import Testing

/// A family that exists in tests only: a denoiser of its own, two text encoders of which T5 has the
/// second place, and the autoencoder with another scale. Nothing but this description and a list
/// makes it a family. Its folders store some matrices as several (see `SharedRowsTests`).
enum Painter {
  static let width = 256

  /// Asks for all tensors of a denoiser.
  private static func open(_ weights: any WeightSource, layers: Int) throws(ModelFileError) {
    _ = try weights.matrix("canvas.weight", rows: width, columns: 16)
    for layer in 0..<layers {
      _ = try weights.matrix("strokes.\(layer).value.weight", rows: width, columns: width)
      _ = try weights.matrix("strokes.\(layer).mix.weight", rows: 2 * width, columns: width)
      _ = try weights.vector("strokes.\(layer).mix.bias", count: 2 * width)
      _ = try weights.matrix("strokes.\(layer).brush.weight", rows: 3 * width, columns: width)
      _ = try weights.vector("strokes.\(layer).brush.bias", count: 3 * width)
      _ = try weights.matrix("strokes.\(layer).wash.weight", rows: 7 * 64, columns: width)
      _ = try weights.vector("strokes.\(layer).wash.bias", count: 7 * 64)
    }
    _ = try weights.matrix("frame.weight", rows: 16, columns: width)
    try weights.expectNothingElse()
  }

  static let names = [
    "canvas.weight", "strokes.{i}.value.weight", "strokes.{i}.mix.weight", "strokes.{i}.mix.bias",
    "strokes.{i}.brush.weight", "strokes.{i}.brush.bias",
    "strokes.{i}.wash.weight", "strokes.{i}.wash.bias",
    "frame.weight",
  ]

  /// What folders call them: a brush is three tensors, a wash four, and a mix has its halves
  /// swapped.
  static let folderRules = names.flatMap { name in
    let stored = "painted." + name
    func parts(_ old: String, _ new: [String]) -> [String] {
      new.map { stored.replacing(old, with: $0) }
    }
    return switch true {
    case name.contains("brush"): NameRule.parts(name, parts("brush", ["to_q", "to_k", "to_v"]))
    case name.contains("wash"):
      NameRule.parts(
        name, parts("wash", ["wet_q", "wet_k", "wet_v", "water"]), shares: [1, 1, 1, 4])
    default: [NameRule(name, stored, name.contains("mix") ? .halvesSwapped : .asStored)]
    }
  }

  static let network = NetworkDescription(
    id: "Painter", library: .diffusers, className: "PainterModel", architecture: "painter",
    tables: [
      NameTable(scheme: "original", canonical: names),
      NameTable(scheme: "diffusers", rules: folderRules),
    ],
    roles: [
      RoleRule("strokes.{i}.value.weight", .value, group: "strokes.value"),
      RoleRule("strokes.{i}.mix.weight", .matrix, group: "strokes.mix"),
      RoleRule("strokes.{i}.brush.weight", .matrix, group: "strokes.brush"),
      RoleRule("strokes.{i}.wash.weight", .matrix, group: "strokes.wash"),
      RoleRule("**", .sensitive),
    ], convention: .denoiser
  ) { source throws(ModelFileError) in
    try open(source.weights, layers: source.weights.layerCount("strokes."))
    return facts
  }

  static let facts = NetworkFacts(settings: []) { _ in
    [.init(key: "_class_name", value: "PainterModel")]
  }

  static let denoiser = Slot(
    "transformer", name: "transformer", option: "transformer", networks: [network],
    singleFilePrefix: "model.", published: "nowhere", example: "canvas.weight")
  static let text = Slot(
    "text_encoder_2", name: "second text encoder", option: "text-encoder-2",
    networks: [T5Encoder.umt5Description], singleFilePrefix: "t5.", keepsFolderNames: true,
    tokenizer: TokenizerPlace("tokenizer_2", form: .unigram, published: "nowhere"),
    published: "nowhere", example: "enc.blk.0.attn_q.weight")
  static let image = Slot(
    "vae", name: "VAE", option: "vae",
    networks: [AutoencoderDecoder.description.publishing(["scaling_factor": 0.5])],
    ggufPrefix: "vae.", singleFilePrefix: "vae.", published: "nowhere",
    example: "decoder.conv_in.weight")

  private static let tiny = AuraFlow.family.presets[3]

  static let family = FamilyDescription(
    name: "Painter", modelPhrase: "a Painter model", pipelineClass: "PainterPipeline",
    denoiser: denoiser, otherSlots: [Reader.slot, text, image],
    metadata: MetadataKeys(prefix: "painter"), defaults: tiny.defaults,
    promptAdvice: "Painter reads nothing",
    presets: [
      ModelPreset(
        name: "painting", defaults: tiny.defaults, pieceCount: tiny.pieceCount,
        parts: [
          ModelPreset.Part(denoiser, network, facts) { weights throws(ModelFileError) in
            try open(weights, layers: 7)
          }, Reader.part,
        ] + zip([text, image], tiny.parts.dropFirst()).map { $1.placed($0) })
    ])
}

extension ModelPreset.Part {
  /// The same in another place, with all tensors or some.
  func placed(
    _ slot: Slot, where isThere: @escaping @Sendable (WeightRequest) -> Bool = { _ in true }
  ) -> ModelPreset.Part {
    ModelPreset.Part(slot, network, facts) { weights throws(ModelFileError) in
      try weights.repeatRequests(self.requests().filter(isThere))
    }
  }
}

extension RequestedWeights {
  fileprivate func repeatRequests(_ requests: [WeightRequest]) throws(ModelFileError) {
    for request in requests {
      switch request.shape.count {
      case 1: _ = try vector(request.name, count: request.shape[0])
      case 2: _ = try matrix(request.name, rows: request.shape[0], columns: request.shape[1])
      default:
        _ = try convolution(
          request.name, outputs: request.shape[0], inputs: request.shape[1],
          kernel: request.shape[2])
      }
    }
  }
}

@Suite("Two families that share networks")
struct SecondFamilyTests {
  private let folder: TemporaryFolder
  private let pool = ThreadPool(threadCount: 2)
  private let catalog = FamilyCatalog(AuraFlow.family, [Painter.family])

  init() throws { folder = try TemporaryFolder() }

  private func model(_ family: FamilyDescription, _ type: ElementType) throws -> SyntheticModel {
    try SyntheticModel(
      try #require(family.presets.last), of: family, in: catalog, type: type, seed: 3)
  }

  private func file(_ family: FamilyDescription) throws -> String {
    let path = folder.path("\(family.name).gguf")
    _ = try model(family, .q8_0).writeGGUF(to: path, overwrite: true, on: pool) { _, _ in }
    return path
  }

  private func paths(_ model: String) -> ModelPaths { ModelPaths(model: model) }

  @Test("the family is the one whose denoiser is there", arguments: [false, true])
  func families(inFolder: Bool) throws {
    for family in catalog.families {
      var path = folder.path(family.name)
      if inFolder {
        _ = try model(family, .f16).writeFolder(to: path, overwrite: true, on: pool) { _, _ in }
      } else {
        path = try file(family)
      }
      let inspection = try ModelInspection(path: path, in: catalog)
      #expect(inspection.family.name == family.name)
      #expect(inspection.parts.map(\.part.key) == family.slots.map(\.key))
      #expect(inspection.missing.isEmpty && inspection.kind == nil && inspection.faults.isEmpty)
      let sources = try ModelSources(paths(path), hints: ArchitectureHints(), in: catalog)
      #expect(sources.family.name == family.name)
    }
  }

  @Test("a folder of downloads side by side is one model of one family")
  func downloads() throws {
    let whole = try file(Painter.family)
    for (option, name) in [
      ("transformer", "a"), ("text-encoder-2", "b"), ("vae", "c"), ("clip-l", "d"),
    ] {
      try convert(.part(option), whole, to: "downloads/\(name).gguf")
    }
    let path = folder.path("downloads")
    let inspection = try ModelInspection(path: path, in: catalog)
    #expect(inspection.family.name == "Painter" && inspection.missing.isEmpty)
    let source = try ConversionSource(
      .all, paths: paths(path), hints: ArchitectureHints(), in: catalog)
    #expect(source.tensors.map(\.part).contains(Painter.text))
  }

  @Test("shared networks alone are opened for whichever family asks")
  func sharedNetworks() throws {
    let text = folder.path("text.gguf")
    try convert(.part("text-encoder-2"), try file(Painter.family), to: "text.gguf")
    for (slot, family) in [(AuraFlow.textEncoder, AuraFlow.family), (Painter.text, Painter.family)]
    {
      let source = try PartSource(slot, of: family, path: text, in: catalog)
      #expect(source.slot == slot && source.network.id == T5Encoder.umt5Description.id)
    }
    let image = folder.path("image.safetensors")
    try model(Painter.family, .f32).write(Painter.image, to: image, on: pool)
    for (slot, family, factor) in [
      (AuraFlow.autoencoder, AuraFlow.family, Float(0.13025)), (Painter.image, Painter.family, 0.5),
    ] {
      var hints = ArchitectureHints()
      hints.normGroups = 8
      let source = try PartSource(slot, of: family, path: image, hints: hints, in: catalog)
      #expect(try AutoencoderDecoder(source).latentScaling.scale == factor)
    }
  }

  @Test("a converted file has the family's keys, types and prefixes")
  func conversion() throws {
    let path = try file(Painter.family)
    try convert(.all, path, to: "small.gguf", type: "q4_K_M")
    let archive = try TensorArchive(path: folder.path("small.gguf"))
    let gguf = try #require(archive.gguf)
    #expect(gguf.value(for: "general.architecture")?.string == "painter")
    #expect(gguf.value(for: "painter.default.width")?.integer == 128)
    #expect(gguf.value(for: "painter.vae.norm_groups")?.integer == 8)
    #expect(!gguf.metadata.contains { $0.key.hasPrefix("aura.") })
    func type(_ name: String) -> ElementType? {
      archive.tensors.index(of: name).map { archive.tensors.records[$0].type }
    }
    #expect(type("strokes.6.value.weight") == .q6_K)
    #expect(type("strokes.6.mix.weight") == .q4_K)
    #expect(type("canvas.weight") == .f16)
    #expect(type("vae.decoder.conv_in.weight") == .f16)
    #expect(try ModelInspection(path: folder.path("small.gguf"), in: catalog).missing.isEmpty)
  }

  @Test("a folder that is converted back has the same weights")
  func roundTrip() throws {
    let path = try file(Painter.family)
    try convert(.all, path, to: "f32.gguf", type: "f32")
    try convert(.all, path, to: "folder", type: "f32", container: .folder)
    try convert(.all, folder.path("folder"), to: "again.gguf", type: "f32")
    func tensors(_ name: String) throws -> [String: [Float]] {
      let archive = try TensorArchive(path: folder.path(name))
      return try archive.tensors.records.indices.reduce(into: [:]) { values, index in
        values[archive.tensors.records[index].name] = try archive.values(of: index)
      }
    }
    #expect(try tensors("again.gguf") == tensors("f32.gguf"))
  }

  @Test("a part that only another family has is refused by name")
  func otherPart() throws {
    let path = try file(AuraFlow.family)
    let error = #expect(throws: ModelFileError.self) {
      _ = try ConversionSource(
        .part("text-encoder-2"), paths: paths(path), hints: ArchitectureHints(), in: catalog)
    }
    #expect(error?.fault.contains("an AuraFlow model has no such part") == true)
  }

  private func convert(
    _ part: PartSelection, _ input: String, to name: String, type: String = "q8_0",
    container: ConversionPlan.Container = .gguf
  ) throws {
    let source = try ConversionSource(
      part, paths: paths(input), hints: ArchitectureHints(), in: catalog)
    let request = try ConversionFixture.request(type, container: container)
    let path = folder.path(name)
    try FileManager.default.createDirectory(
      atPath: folder.path("downloads"), withIntermediateDirectories: true)
    _ = try Converter.write(
      try ConversionPlan(source, request, path: path), to: path, overwrite: true,
      options: ConversionOptions(), on: pool
    ) { _, _ in }
  }
}
