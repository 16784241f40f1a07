import Checkpoints
import Foundation
import ModelCatalog
import ModelFiles
import TestSupport
import Testing

@Suite("Parts of a model are opened wherever they lie") struct ModelOpenerTests {
  private let folder: TemporaryFolder
  private let hints: ArchitectureHints

  init() throws {
    folder = try SeededWeights.pipelineFolder("quantizable")
    hints = try SeededWeights.hints("quantizable")
  }

  private static let slots = [Slot.transformer, .textEncoder, .autoencoder]

  private func opened(_ paths: ModelPaths, _ slots: [Slot] = slots) throws -> PartSources {
    try PartSources(slots, paths, hints: hints)
  }

  private func fault(_ paths: ModelPaths, _ slots: [Slot] = slots) -> ModelFileError? {
    #expect(throws: ModelFileError.self) { _ = try opened(paths, slots) }
  }

  private func file(_ slot: Slot) -> String {
    let stem = slot == .textEncoder ? "model" : "diffusion_pytorch_model"
    return folder.path("\(slot.key)/\(stem).safetensors")
  }

  @Test("parts come in the order in which they were asked for, with what lies beside them")
  func order() throws {
    let sources = try opened(ModelPaths(model: folder.path), Self.slots.reversed())
    #expect(sources.parts.map(\.slot) == Self.slots.reversed())
    #expect(sources.parts.allSatisfy { $0.configuration != nil })
    #expect(sources.scheduler != nil && !sources.tokenizers.isEmpty)
    #expect(Set(sources.files).isSuperset(of: Self.slots.map(file)))
  }

  @Test("a file that is named for a part comes before the model's own")
  func named() throws {
    let other = try TemporaryFolder()
    try FileManager.default.copyItem(atPath: file(.autoencoder), toPath: other.path("v.sft"))
    let sources = try opened(ModelPaths(model: folder.path, autoencoder: other.path("v.sft")))
    #expect(sources.parts.map(\.weights.path).last == other.path("v.sft"))
    #expect(!sources.files.contains(file(.autoencoder)))
  }

  @Test("every part by itself needs no model")
  func separate() throws {
    let sources = try opened(
      ModelPaths(
        transformer: file(.transformer), textEncoder: file(.textEncoder),
        autoencoder: file(.autoencoder)))
    #expect(sources.parts.map(\.weights.path) == Self.slots.map(file))
  }

  @Test("all missing parts are told at once, with flag and place")
  func missing() throws {
    let error = fault(ModelPaths(transformer: file(.transformer)))
    #expect(error?.kind == .notFound)
    for flag in ["--text-encoder", "--vae"] {
      #expect(error?.fault.contains(flag) == true, "\(error?.fault ?? "")")
    }
    #expect(error?.fault.contains("--transformer") == false)
  }

  @Test("a file that holds another part is refused by what it holds")
  func exchanged() throws {
    let error = fault(ModelPaths(model: folder.path, autoencoder: file(.transformer)))
    #expect(error?.kind == .unsupported && error?.path == file(.transformer))
    #expect(error?.fault.hasPrefix("holds a transformer, but no VAE") == true)
  }

  // MARK: Tokenizers and options

  /// Every part by itself, each in a folder of its own, without anything beside it.
  private func apart() throws -> (folder: TemporaryFolder, paths: ModelPaths) {
    let other = try TemporaryFolder()
    var paths = ModelPaths()
    for slot in Self.slots {
      let path = try other.write([], to: "of \(slot.option)/weights.safetensors")
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.copyItem(atPath: file(slot), toPath: path)
      paths.parts[slot.option] = path
    }
    return (other, paths)
  }

  @Test("a tokenizer is found beside the file of any part", arguments: slots.map(\.option))
  func besideParts(_ option: String) throws {
    let (other, paths) = try apart()
    #expect(try opened(paths).tokenizers.isEmpty)
    try FileManager.default.copyItem(
      atPath: folder.path("tokenizer/tokenizer.json"),
      toPath: other.path("of \(option)/tokenizer.json"))
    let tokenizer = try #require(try opened(paths).tokenizers.first)
    #expect(tokenizer.source.path == other.path("of \(option)/tokenizer.json"))
    #expect(tokenizer.slot == .textEncoder && !tokenizer.isNamed)
    #expect(try opened(paths, [.transformer, .autoencoder]).tokenizers.isEmpty)
  }

  @Test("tokenizers of another kind are passed over, and refused by name where they are named")
  func otherKinds() throws {
    let (other, paths) = try apart()
    let clip = #"{"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {}}}"#
    try other.write(Array(clip.utf8), to: "of vae/tokenizer.json")
    let unigram = #"{"model": {"type": "Unigram", "vocab": []}}"#
    try other.write(Array(unigram.utf8), to: "of transformer/tokenizer.json")
    #expect(try opened(paths).tokenizers.isEmpty)
    for (place, kind) in [("vae", "a CLIP tokenizer"), ("transformer", "a T5 tokenizer")] {
      for name in ["of \(place)", "of \(place)/tokenizer.json"] {
        var named = paths
        named.tokenizer = other.path(name)
        let error = fault(named)
        #expect(error?.kind == .unsupported)
        #expect(error?.path == other.path("of \(place)/tokenizer.json"))
        #expect(error?.fault.hasPrefix("is " + kind) == true, "\(error?.fault ?? "")")
        #expect(error?.fault.contains("--tokenizer takes") == true)
      }
    }
  }

  @Test("what the family does not have is refused with what it has")
  func otherOptions() throws {
    let part = fault(ModelPaths(model: folder.path, clipL: file(.autoencoder)))
    #expect(part?.path == "--clip-l " + file(.autoencoder) && part?.kind == .unsupported)
    #expect(
      part?.fault.hasSuffix("name its parts with --transformer, --text-encoder, --vae") == true)
    let tokenizer = fault(ModelPaths(model: folder.path, clipTokenizer: folder.path))
    #expect(tokenizer?.fault.hasSuffix("name its tokenizers with --tokenizer") == true)
    var hints = hints
    hints[key: "no_such_setting"] = 2
    #expect(throws: ModelFileError.self) {
      _ = try PartSources(Self.slots, ModelPaths(model: folder.path), hints: hints)
    }
  }

  @Test("other options of a part name it too, but not together with its own")
  func twice() throws {
    let path = file(.textEncoder)
    let sources = try opened(ModelPaths(model: folder.path, t5xxl: path))
    #expect(sources.parts.map(\.weights.path) == Self.slots.map(file))
    let error = fault(ModelPaths(model: folder.path, textEncoder: path, t5xxl: path))
    #expect(error?.kind == .contradicted)
    #expect(
      error?.fault == "the text encoder is named by --text-encoder and --t5xxl: give one of them")
  }

  @Test("a pipeline of another class is refused before its parts are opened")
  func otherClass() throws {
    try folder.write(
      Array(#"{"_class_name": "StableDiffusionPipeline"}"#.utf8), to: "model_index.json")
    try FileManager.default.removeItem(atPath: file(.transformer))
    let error = fault(ModelPaths(model: folder.path))
    #expect(error?.kind == .unsupported)
    #expect(error?.fault.contains("StableDiffusionPipeline") == true)
  }

  @Test("the parts of one file are opened as one")
  func sharedFile() throws {
    let whole = Fixtures.path("checkpoints/single_file_original.safetensors")
    let sources = try opened(ModelPaths(model: whole))
    #expect(sources.parts.allSatisfy { $0.weights.path == whole })
    #expect(sources.files == [whole])
  }

  @Test("what a network asked for gives the shapes that are written")
  func requestedShapes() throws {
    // The file has a leading 1 that the network does not ask for.
    let sources = try opened(ModelPaths(model: folder.path), [.transformer])
    let weights = sources.parts[0].weights
    #expect(weights.requestedShape("positional_encoding") == nil)
    _ = try sources.parts[0].network.open(sources.parts[0])
    let requested = try #require(weights.requestedShape("positional_encoding"))
    #expect(requested.count == 2 && requested == weights.shape(of: "positional_encoding"))
    let tensor = try #require(try weights.tensors().first { $0.name == "positional_encoding" })
    #expect(tensor.shape == requested)
    #expect(tensor.match.rule.shape.shape(of: tensor.shape, inFolder: false) == [1] + requested)
  }
}
