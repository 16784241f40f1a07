import AuraFlowFamily
import Checkpoints
import Conversion
import Foundation
import Machine
import ModelFiles
import ModelSynthesis
import Networks
import TestSupport
import Testing

/// A family in which the same network has two places: their tensors have the same names, and
/// prefixes tell them apart.
@Suite("Two places of one network in a family")
struct SharedNamesTests {
  private static let first = Slot(
    "text_encoder", name: "first text encoder", option: "first",
    networks: [T5Encoder.umt5Description], singleFilePrefix: "text_encoders.first.",
    keepsFolderNames: true, published: "nowhere", example: "enc.blk.0.attn_q.weight")
  private static let second = Slot(
    "text_encoder_2", name: "second text encoder", option: "second",
    networks: [T5Encoder.umt5Description], ggufPrefix: "second.",
    singleFilePrefix: "text_encoders.second.", keepsFolderNames: true, published: "nowhere",
    example: "enc.blk.0.attn_q.weight")

  private static let family: FamilyDescription = {
    let painting = Painter.family.presets[0]
    let (image, text) = (painting.parts[3], AuraFlow.family.presets[3].parts[1])
    return FamilyDescription(
      name: "Twins", modelPhrase: "a Twins model", pipelineClass: "TwinsPipeline",
      denoiser: Painter.denoiser, otherSlots: [first, second, Painter.image],
      metadata: MetadataKeys(prefix: "twins"), defaults: Painter.family.defaults,
      promptAdvice: "Twins read nothing",
      presets: [
        ModelPreset(
          name: "twins", defaults: painting.defaults, pieceCount: painting.pieceCount,
          parts: [
            painting.parts[0], text.placed(first),
            // It has a layer less, which tells them apart.
            text.placed(second) { !$0.name.hasPrefix("enc.blk.1.") }, image,
          ])
      ])
  }()

  private let folder: TemporaryFolder
  private let pool = ThreadPool(threadCount: 2)
  private let catalog = FamilyCatalog(AuraFlow.family, [family])

  init() throws { folder = try TemporaryFolder() }

  private func source(
    _ paths: ModelPaths, _ part: PartSelection = .all
  ) throws -> ConversionSource {
    var hints = ArchitectureHints()
    // What a safetensors file does not tell.
    hints.normGroups = 8
    return try ConversionSource(part, paths: paths, hints: hints, in: catalog)
  }

  private func convert(
    _ part: PartSelection, _ input: String, to name: String,
    container: ConversionPlan.Container = .gguf
  ) throws -> String {
    let path = folder.path(name)
    let plan = try ConversionPlan(
      try source(ModelPaths(model: input), part),
      try ConversionFixture.request("f32", container: container), path: path)
    _ = try Converter.write(
      plan, to: path, overwrite: true, options: ConversionOptions(), on: pool
    ) { _, _ in }
    return path
  }

  private func whole() throws -> String {
    let path = folder.path("whole.gguf")
    _ = try SyntheticModel(
      Self.family.presets[0], of: Self.family, in: catalog, type: .f32, seed: 1
    ).writeGGUF(to: path, overwrite: true, on: pool) { _, _ in }
    return path
  }

  /// Whether two models have the same weights in the same places.
  private func areEqual(_ left: String, _ right: String) throws -> Bool {
    try WeightComparison(on: pool).differences(
      try source(ModelPaths(model: left)), try source(ModelPaths(model: right))
    ).allSatisfy { $0.relativeError == 0 }
  }

  @Test("both are found by their prefixes in files of any kind")
  func found() throws {
    let whole = try whole()
    let sources = try source(ModelPaths(model: whole))
    let counts = [Self.first, Self.second].map { slot in
      sources.tensors.count { $0.part == slot }
    }
    #expect(counts[0] > counts[1] && counts[1] > 0)
    let single = try convert(.all, whole, to: "single.safetensors", container: .safetensors)
    let made = try convert(.all, whole, to: "made", container: .folder)
    let again = try convert(.all, single, to: "again.gguf")
    for path in [whole, again, single] {
      let inspection = try ModelInspection(path: path, in: catalog)
      #expect(inspection.parts.map(\.part) == Self.family.slots, "\(path)")
      #expect(inspection.family.name == "Twins" && inspection.missing.isEmpty)
    }
    let prefixes = try ModelInspection(path: whole, in: catalog).parts.map(\.prefix)
    #expect(prefixes == ["", "", "second.", "vae."])
    for path in [again, made, single] {
      #expect(try areEqual(path, whole), "\(path)")
    }
  }

  @Test("a file with one of them is not both, and by itself it may be either")
  func alone() throws {
    let whole = try whole()
    let text = try convert(.part("second"), whole, to: "second.gguf")
    var paths = ModelPaths()
    let parts = [("transformer", whole), ("first", text), ("second", text), ("vae", whole)]
    paths.parts = Dictionary(uniqueKeysWithValues: parts)
    let sources = try source(paths)
    #expect(
      sources.tensors.filter { $0.part == Self.first }.count
        == sources.tensors.filter { $0.part == Self.second }.count)
    // Without the second's tensors the file lacks it.
    let archive = try TensorArchive(path: whole)
    let tensors = try archive.tensors.records.indices.filter {
      !archive.tensors.records[$0].name.hasPrefix("second.")
    }.map { index in
      let record = archive.tensors.records[index]
      return RawSafetensors.Tensor(
        record.name, record.type, record.shape, try archive.copy(of: index))
    }
    let less = try folder.write(RawSafetensors.encode(tensors), to: "less.safetensors")
    let error = #expect(throws: ModelFileError.self) { _ = try source(ModelPaths(model: less)) }
    #expect(error?.fault.contains("missing: second text encoder (--second") == true)
  }

  @Test("places of one network have prefixes of their own in every known family")
  func prefixes() {
    for family in [AuraFlow.family, Painter.family, Self.family] {
      for slot in family.slots {
        let others = family.slots.filter { other in
          other != slot && other.networks.contains { slot.network($0.id) != nil }
        }
        #expect(!others.contains { $0.ggufPrefix == slot.ggufPrefix }, "\(family.name)")
        #expect(!others.contains { $0.singleFilePrefix == slot.singleFilePrefix })
      }
      #expect(Set(family.slots.flatMap(\.options)).count == family.slots.flatMap(\.options).count)
      #expect(Set(family.tokenizers.map(\.option)).count == family.tokenizers.count)
    }
  }
}
