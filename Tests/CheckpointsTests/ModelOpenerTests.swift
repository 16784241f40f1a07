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
