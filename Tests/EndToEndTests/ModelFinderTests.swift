import Checkpoints
import Conversion
import Foundation
import ModelFiles
import TestSupport
import Testing
import TextToImage

/// One finder of parts: what `inspect` calls complete, every other verb runs.
@Suite("All verbs find the same parts")
struct ModelFinderTests {
  /// A pipeline's folder, taken to pieces by each test.
  private let folder: TemporaryFolder
  private let hints: ArchitectureHints
  private var files: FileManager { .default }

  init() throws {
    folder = try SeededWeights.pipelineFolder("quantizable")
    hints = try SeededWeights.hints("quantizable")
  }

  /// All parts side by side, as the folders of other programs have them.
  private func flatten() throws {
    for (source, name) in [
      ("transformer/diffusion_pytorch_model.safetensors", "aura_flow.safetensors"),
      ("text_encoder/model.safetensors", "pile_t5.sft"),
      ("vae/diffusion_pytorch_model.safetensors", "sdxl_vae.SAFETENSORS"),
      ("tokenizer/tokenizer.json", "tokenizer.json"),
      ("tokenizer/tokenizer_config.json", "tokenizer_config.json"),
    ] {
      try files.moveItem(atPath: folder.path(source), toPath: folder.path(name))
    }
    for name in ["transformer", "text_encoder", "vae", "tokenizer", "model_index.json"] {
      try files.removeItem(atPath: folder.path(name))
    }
  }

  private func expectOpens(_ paths: ModelPaths) throws {
    let path = try #require(paths.model)
    let inspection = try ModelInspection(path: path)
    #expect(inspection.missing.isEmpty && inspection.ambiguities.isEmpty, "\(inspection.missing)")
    #expect(inspection.faults.isEmpty, "\(inspection.faults)")
    _ = try Pipeline(paths, hints: hints)
    _ = try ConversionSource(.all, paths: paths, hints: hints)
  }

  private func fault(_ paths: ModelPaths) -> ModelFileError? {
    #expect(throws: ModelFileError.self) { _ = try Pipeline(paths, hints: hints) }
  }

  @Test("a pipeline's folder, and a repository in a hub's cache with links")
  func hubCache() throws {
    try expectOpens(ModelPaths(model: folder.path))
    let cache = try TemporaryFolder()
    let repository = cache.path("models--fal--AuraFlow")
    let snapshot = repository + "/snapshots/0123abc"
    try files.createDirectory(atPath: repository + "/blobs", withIntermediateDirectories: true)
    var blobs: [String: String] = [:]
    for name in try files.subpathsOfDirectory(atPath: folder.path) {
      guard FileSystem.isFile(folder.path(name)) else { continue }
      let link = snapshot + "/" + name
      try files.createDirectory(
        atPath: FileSystem.folder(of: link), withIntermediateDirectories: true)
      let blob = repository + "/blobs/\(blobs.count)"
      blobs[name] = blob
      try files.copyItem(atPath: folder.path(name), toPath: blob)
      try files.createSymbolicLink(atPath: link, withDestinationPath: blob)
    }
    for path in [repository, repository + "/snapshots", snapshot] {
      try expectOpens(ModelPaths(model: path))
    }
    // A blob has no ending and no configuration beside it; the link to it has.
    let transformer = try #require(blobs["transformer/diffusion_pytorch_model.safetensors"])
    let source = try PartSource(.transformer, path: transformer)
    #expect(source.configuration != nil)
    #expect(
      try Pipeline(
        ModelPaths(
          transformer: transformer, textEncoder: blobs["text_encoder/model.safetensors"],
          autoencoder: blobs["vae/diffusion_pytorch_model.safetensors"],
          tokenizer: blobs["tokenizer/tokenizer.json"])
      ).files.count > 4)
  }

  @Test("one folder of downloads, with endings as people have them")
  func flatFolder() throws {
    try flatten()
    try expectOpens(ModelPaths(model: folder.path))
    // What belongs to no part does not disturb.
    try folder.write(
      RawSafetensors.encode([
        .init("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", [4, 2], [])
      ]), to: "lora.safetensors")
    try expectOpens(ModelPaths(model: folder.path))
    // Each part by naming the folder for it.
    _ = try Pipeline(
      ModelPaths(
        transformer: folder.path, textEncoder: folder.path, autoencoder: folder.path,
        tokenizer: folder.path), hints: hints)
  }

  @Test("two candidates for a part are named with the flag that chooses")
  func ambiguity() throws {
    try flatten()
    try files.copyItem(
      atPath: folder.path("aura_flow.safetensors"), toPath: folder.path("fine_tune.safetensors"))
    let error = fault(ModelPaths(model: folder.path))
    #expect(error?.kind == .contradicted)
    for text in ["aura_flow.safetensors", "fine_tune.safetensors", "--transformer"] {
      #expect(error?.fault.contains(text) == true)
    }
    #expect(try ModelInspection(path: folder.path).ambiguities.count == 1)
    let chosen = ModelPaths(
      model: folder.path, transformer: folder.path("fine_tune.safetensors"))
    _ = try Pipeline(chosen, hints: hints)
    _ = try ConversionSource(.all, paths: chosen, hints: hints)
  }

  @Test("a broken file in a folder of downloads is told where its part is missing")
  func brokenFile() throws {
    try flatten()
    try folder.write(
      Array("version https://git-lfs.github.com/spec/v1\n".utf8), to: "sdxl_vae.SAFETENSORS")
    let error = fault(ModelPaths(model: folder.path))
    for text in ["missing: VAE (--vae", "sdxl_vae.SAFETENSORS: is a Git LFS pointer"] {
      #expect(error?.fault.contains(text) == true, "\(error?.fault ?? "")")
    }
    #expect(try ModelInspection(path: folder.path).faults.count == 1)
  }

  @Test("everything that is missing is told at once, with flags and where it is published")
  func missing() throws {
    let part = folder.path("transformer/diffusion_pytorch_model.safetensors")
    let lone = try TemporaryFolder()
    try files.moveItem(atPath: part, toPath: lone.path("aura.safetensors"))
    let path = lone.path("aura.safetensors")
    for paths in [ModelPaths(model: path), ModelPaths(transformer: path)] {
      let error = fault(paths)
      #expect(error?.kind == .notFound)
      for text in ["--text-encoder", "--vae", "--tokenizer", "huggingface.co/fal/AuraFlow-v0.3"] {
        #expect(error?.fault.contains(text) == true, "\(text) in \(error?.fault ?? "")")
      }
    }
    let error = #expect(throws: ModelFileError.self) {
      _ = try ConversionSource(.all, paths: ModelPaths(model: path), hints: hints)
    }
    #expect(error?.fault.contains("--part transformer") == true)
    // What lies beside it is pointed to.
    try files.copyItem(
      atPath: folder.path("vae/diffusion_pytorch_model.safetensors"),
      toPath: lone.path("vae.safetensors"))
    #expect(
      fault(ModelPaths(model: path))?.fault.contains("--vae \(lone.path("vae.safetensors"))")
        == true)
  }

  @Test("a part's folder without its weights, or with another part's, is told")
  func wrongContent() throws {
    try files.removeItem(atPath: folder.path("vae/diffusion_pytorch_model.safetensors"))
    #expect(fault(ModelPaths(model: folder.path))?.fault.contains("--vae") == true)
    try files.copyItem(
      atPath: folder.path("text_encoder/model.safetensors"),
      toPath: folder.path("vae/diffusion_pytorch_model.safetensors"))
    let error = fault(ModelPaths(model: folder.path))
    #expect(error?.fault.contains("holds a text encoder, but no VAE") == true)
    let named = fault(ModelPaths(model: folder.path, autoencoder: folder.path("text_encoder")))
    #expect(named?.fault.contains("holds a text encoder, but no VAE") == true)
  }

  @Test("a broken file beside a sound variant of it is in nobody's way")
  func brokenBesideVariant() async throws {
    let path = "transformer/diffusion_pytorch_model"
    try files.moveItem(
      atPath: folder.path(path + ".safetensors"), toPath: folder.path(path + ".fp16.safetensors"))
    try folder.write(
      Array("version https://git-lfs.github.com/spec/v1\n".utf8), to: path + ".safetensors")
    _ = try Pipeline(ModelPaths(model: folder.path), hints: hints)
    let outcome = try CommandLine.run(["inspect", "--verify", folder.path], in: folder.url)
    #expect(outcome.status == 0 && outcome.output.contains("warning: "), "\(outcome.errors)")
  }

  @Test("what the names in a folder tell about missing parts is said")
  func namesOfFiles() throws {
    try files.removeItem(atPath: folder.path("vae/diffusion_pytorch_model.safetensors"))
    try folder.write([1], to: "vae/diffusion_pytorch_model.bin")
    #expect(
      fault(ModelPaths(model: folder.path))?.fault
        .contains("pickles ('diffusion_pytorch_model.bin')") == true)
    try folder.write([1], to: "vae/diffusion_pytorch_model.safetensors.crdownload")
    #expect(fault(ModelPaths(model: folder.path))?.fault.contains("has not ended") == true)
    let hub = try TemporaryFolder()
    try hub.write([1], to: "models--fal--AuraFlow/snapshots/1/a")
    #expect(
      fault(ModelPaths(model: hub.path))?.fault
        .contains("name the folder 'models--fal--AuraFlow' in it") == true)
  }

  @Test("a tokenizer beside a part's folder is found")
  func tokenizerBeside() throws {
    _ = try Pipeline(
      ModelPaths(
        transformer: folder.path("transformer"), textEncoder: folder.path("text_encoder/"),
        autoencoder: folder.path("vae")), hints: hints)
  }

  @Test("one file of several, of several variants, with another set's rest")
  func pieces() throws {
    let path = folder.path("transformer/diffusion_pytorch_model.safetensors")
    let archive = try TensorArchive(path: path)
    let tensors = try archive.tensors.records.enumerated().map { index, record in
      RawSafetensors.Tensor(record.name, record.type, record.shape, try archive.copy(of: index))
    }
    try files.removeItem(atPath: path)
    let half = tensors.count / 2
    for (number, part) in [(1, tensors[..<half]), (2, tensors[half...])] {
      try folder.write(
        RawSafetensors.encode(Array(part)),
        to: "transformer/diffusion_pytorch_model.fp16-0000\(number)-of-00002.safetensors")
    }
    try folder.write(
      RawSafetensors.encode([.init("old", [1], [1])]),
      to: "transformer/diffusion_pytorch_model-00002-of-00003.safetensors")
    try expectOpens(ModelPaths(model: folder.path))
  }
}
