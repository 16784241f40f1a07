import AuraFlowFamily
import Checkpoints
import Conversion
import Foundation
import Machine
import ModelFiles
import ModelSynthesis
import StrictJSON
import TestSupport
import Testing
import Tokenizers

/// Models with two text encoders, each with a tokenizer in a place of its own.
@Suite("Several tokenizers of one model")
struct SeveralTokenizersTests {
  private let folder: TemporaryFolder
  private let pool = ThreadPool(threadCount: 2)
  private let catalog = FamilyCatalog(AuraFlow.family, [Painter.family])

  init() throws { folder = try TemporaryFolder() }

  private func model() throws -> SyntheticModel {
    try SyntheticModel(
      try #require(Painter.family.presets.last), of: Painter.family, in: catalog, type: .f16,
      seed: 3)
  }

  /// A pipeline's folder; its name is never that of a part.
  private func pipeline() throws -> String {
    let path = folder.path("pipeline")
    if !FileManager.default.fileExists(atPath: path) {
      _ = try model().writeFolder(to: path, overwrite: false, on: pool) { _, _ in }
    }
    return path
  }

  private func whole() throws -> String {
    let path = folder.path("whole.gguf")
    _ = try model().writeGGUF(to: path, overwrite: true, on: pool) { _, _ in }
    return path
  }

  private func open(_ paths: ModelPaths) throws -> ModelSources {
    try ModelSources(paths, hints: ArchitectureHints(), in: catalog)
  }

  private func fault(_ paths: ModelPaths) -> ModelFileError? {
    #expect(throws: ModelFileError.self) { _ = try open(paths) }
  }

  /// What both tokenizers make of texts.
  private func ids(_ sources: ModelSources) throws -> [[Int32]] {
    try [Painter.text, Reader.slot].flatMap { slot in
      let tokenizer = try Tokenizer(try sources.tokenizer(of: slot))
      return ["", "a banana tree", "xé <|endoftext|>"].map { tokenizer.encode($0) }
    }
  }

  private func convert(
    _ part: PartSelection, _ paths: ModelPaths, to name: String,
    container: ConversionPlan.Container = .gguf
  ) throws -> String {
    let source = try ConversionSource(
      part, paths: paths, hints: ArchitectureHints(), in: catalog)
    let path = folder.path(name)
    let request = try ConversionFixture.request("f16", container: container)
    _ = try Converter.write(
      try ConversionPlan(source, request, path: path), to: path, overwrite: true,
      options: ConversionOptions(), on: pool
    ) { _, _ in }
    return path
  }

  private func remove(_ path: String) throws {
    try FileManager.default.removeItem(atPath: path)
  }

  // MARK: Where they lie

  @Test("each text encoder has the tokenizer of its own folder, whatever families call it")
  func folders() throws {
    let sources = try open(ModelPaths(model: try pipeline()))
    let paths = try [Painter.text, Reader.slot].map { try sources.tokenizer(of: $0).path }
    #expect(
      paths == [
        folder.path("pipeline/tokenizer_2/tokenizer.json"),
        folder.path("pipeline/tokenizer/merges.txt"),
      ])
    #expect(sources.files.contains(folder.path("pipeline/tokenizer/vocab.json")))
    let inspection = try ModelInspection(path: try pipeline(), in: catalog)
    #expect(inspection.tokenizers.map(\.place.option) == ["clip-tokenizer", "tokenizer"])
    #expect(inspection.tokenizers.map(\.path) == paths.reversed() && inspection.missing.isEmpty)
    #expect(throws: ModelFileError.self) { _ = try sources.tokenizer(of: Painter.image) }
  }

  @Test("vocabularies are made as large as the encoders, and read as they were made")
  func synthesized() throws {
    let sources = try open(ModelPaths(model: try pipeline()))
    let clip = try Tokenizer(try sources.tokenizer(of: Reader.slot))
    #expect(clip.vocabularySize == Reader.idCount && Int(clip.largestID) == Reader.idCount - 1)
    let end = Int32(Reader.idCount - 1)
    #expect(clip.encode("") == [end - 1, end])
    // A word of two syllables is one token.
    #expect(clip.encode("bana").count == 3)
    let text = try Tokenizer(try sources.tokenizer(of: Painter.text))
    #expect(text.encode("") == [1] && text.encode("banana").last == 1)
    #expect(try ids(try open(ModelPaths(model: try whole()))) == ids(sources))
  }

  @Test("a part's file finds the tokenizer beside it, of its own kind only")
  func besideParts() throws {
    let whole = try whole()
    let parts = try Painter.family.slots.map { slot in
      let name = "\(slot.option)/\(slot.option).safetensors"
      try FileManager.default.createDirectory(
        atPath: folder.path(slot.option), withIntermediateDirectories: true)
      return (
        slot.option,
        try convert(
          .part(slot.option), ModelPaths(model: whole), to: name, container: .safetensors)
      )
    }
    var paths = ModelPaths()
    paths.parts = Dictionary(uniqueKeysWithValues: parts)
    let error = fault(paths)
    #expect(error?.kind == .notFound)
    #expect(
      error?.fault
        == "missing: CLIP tokenizer (--clip-tokenizer; nowhere/clip), "
        + "tokenizer (--tokenizer; nowhere)")
    // All in the folder of another part.
    for name in ["merges.txt", "vocab.json"] {
      try FileManager.default.copyItem(
        atPath: try pipeline() + "/tokenizer/" + name, toPath: folder.path("vae/" + name))
    }
    #expect(fault(paths)?.fault == "missing: tokenizer (--tokenizer; nowhere)")
    try FileManager.default.copyItem(
      atPath: try pipeline() + "/tokenizer_2/tokenizer.json",
      toPath: folder.path("vae/tokenizer.json"))
    let sources = try open(paths)
    #expect(try sources.tokenizer(of: Reader.slot).path == folder.path("vae/merges.txt"))
    #expect(try sources.tokenizer(of: Painter.text).path == folder.path("vae/tokenizer.json"))
  }

  @Test("parts of a pipeline find the folders beside theirs")
  func besideFolders() throws {
    let pipeline = try pipeline()
    var paths = ModelPaths()
    for slot in Painter.family.slots { paths.parts[slot.option] = "\(pipeline)/\(slot.key)" }
    let sources = try open(paths)
    #expect(try ids(sources) == ids(try open(ModelPaths(model: pipeline))))
  }

  // MARK: Named

  @Test("a tokenizer is named by a folder or any of its files")
  func named() throws {
    let pipeline = try pipeline()
    try FileManager.default.moveItem(
      atPath: pipeline + "/tokenizer", toPath: folder.path("moved"))
    var paths = ModelPaths(model: pipeline)
    #expect(fault(paths)?.fault.hasPrefix("missing: CLIP tokenizer (--clip-tokenizer") == true)
    for name in ["moved", "moved/merges.txt", "moved/vocab.json"] {
      paths.tokenizers = ["clip-tokenizer": folder.path(name)]
      let sources = try open(paths)
      #expect(try sources.tokenizer(of: Reader.slot).path == folder.path("moved/merges.txt"))
      #expect(sources.namedTokenizers.map(\.place.key) == ["tokenizer"])
    }
    try remove(folder.path("moved/vocab.json"))
    paths.tokenizers = ["clip-tokenizer": folder.path("moved/merges.txt")]
    #expect(
      try Tokenizer(try open(paths).tokenizer(of: Reader.slot)).vocabularySize == Reader.idCount)
    paths.tokenizers = ["clip-tokenizer": try whole()]
    _ = try open(paths)
  }

  @Test("a tokenizer of another kind is refused by name")
  func wrongKind() throws {
    let pipeline = try pipeline()
    for name in ["tokenizer_2", "tokenizer_2/tokenizer.json"] {
      let error = fault(ModelPaths(model: pipeline, clipTokenizer: "\(pipeline)/\(name)"))
      #expect(error?.kind == .unsupported)
      #expect(
        error?.fault
          == "is a T5 tokenizer (SentencePiece unigram), where --clip-tokenizer takes a CLIP "
          + "tokenizer: nowhere/clip")
    }
    for name in ["tokenizer", "tokenizer/merges.txt"] {
      let error = fault(ModelPaths(model: pipeline, tokenizer: "\(pipeline)/\(name)"))
      #expect(error?.fault.hasPrefix("is a CLIP tokenizer, where --tokenizer takes") == true)
    }
    try folder.write(Array("#version: 0.2\na b\nc d\n".utf8), to: "gpt/merges.txt")
    let other = fault(ModelPaths(model: pipeline, clipTokenizer: folder.path("gpt/merges.txt")))
    #expect(other?.fault.contains("holds no merges of words") == true)
    let none = fault(ModelPaths(model: pipeline, clipTokenizer: pipeline + "/vae"))
    #expect(none?.kind == .notFound && none?.fault == "has no tokenizer.json or merges.txt")
  }

  @Test("options that the family does not have are refused with those that it has")
  func otherOptions() throws {
    let pipeline = try pipeline()
    let vae = pipeline + "/vae"
    let part = fault(ModelPaths(model: pipeline, textEncoder: vae))
    #expect(part?.path == "--text-encoder \(vae)" && part?.kind == .unsupported)
    #expect(
      part?.fault
        == "a Painter model has no such part: name its parts with --transformer, --clip-l, "
        + "--text-encoder-2, --vae")
    let aura = folder.path("aura.gguf")
    _ = try SyntheticModel(.tiny, type: .f16, seed: 1).writeGGUF(
      to: aura, overwrite: false, on: pool
    ) { _, _ in }
    let tokenizer = fault(ModelPaths(model: aura, clipTokenizer: pipeline))
    #expect(
      tokenizer?.fault
        == "an AuraFlow model has no such tokenizer: name its tokenizers with --tokenizer")
    #expect(fault(ModelPaths(model: aura, clipL: vae))?.path == "--clip-l \(vae)")
    var paths = ModelPaths(model: aura, autoencoder: vae)
    paths.parts["tae"] = vae
    #expect(fault(paths)?.fault == "the VAE is named by --vae and --tae: give one of them")
    var hints = ArchitectureHints()
    hints.headDimension = 64
    let hint = #expect(throws: ModelFileError.self) {
      _ = try ModelSources(ModelPaths(model: pipeline), hints: hints, in: catalog)
    }
    #expect(hint?.path == "--head-dimension 64")
  }

  // MARK: Carried

  @Test("a converted file carries all tokenizers, and gives them back")
  func carried() throws {
    let expected = try ids(try open(ModelPaths(model: try pipeline())))
    let file = try convert(.all, ModelPaths(model: try pipeline()), to: "all.gguf")
    let gguf = try #require(try TensorArchive(path: file).gguf)
    let keys = gguf.metadata.map(\.key).filter { $0.hasPrefix("tokenizer.") }
    #expect(
      Set(keys) == [
        "tokenizer.huggingface.json", "tokenizer.huggingface.config",
        "tokenizer.huggingface.class", "tokenizer.clip.huggingface.merges",
        "tokenizer.clip.huggingface.vocab", "tokenizer.clip.huggingface.config",
        "tokenizer.clip.huggingface.class",
      ])
    #expect(gguf.value(for: "tokenizer.clip.huggingface.class")?.string == "CLIPTokenizer")
    #expect(try ids(try open(ModelPaths(model: file))) == expected)
    let again = try convert(.all, ModelPaths(model: file), to: "again.gguf")
    let bytes = try [file, again].map { try Data(contentsOf: URL(fileURLWithPath: $0)) }
    #expect(bytes[0] == bytes[1])
    // Parts by themselves carry their own.
    let reader = try convert(.part("clip-l"), ModelPaths(model: file), to: "reader.gguf")
    let own = try #require(try TensorArchive(path: reader).gguf)
    #expect(own.value(for: "tokenizer.clip.huggingface.merges") != nil)
    #expect(own.value(for: "tokenizer.huggingface.json") == nil)
    var paths = ModelPaths(model: try pipeline())
    try remove(try pipeline() + "/tokenizer")
    paths.parts["clip-l"] = reader
    #expect(try ids(try open(paths)) == expected)
  }

  @Test("a vocabulary of llama.cpp's is carried under the keys of its place")
  func carriedVocabulary() throws {
    let text = try convert(
      .part("text-encoder-2"), ModelPaths(model: try pipeline()), to: "text.gguf")
    let keys = try #require(try TensorArchive(path: text).gguf).metadata.map(\.key)
    #expect(keys.contains("tokenizer.huggingface.json"))
    #expect(!keys.contains { $0.hasPrefix("tokenizer.clip.") })
  }

  @Test("a written folder has each tokenizer in its place")
  func folderOfFile() throws {
    let expected = try ids(try open(ModelPaths(model: try pipeline())))
    // The synthesized file has the merges alone.
    let made = try convert(
      .all, ModelPaths(model: try whole()), to: "made", container: .folder)
    #expect(try ids(try open(ModelPaths(model: made))) == expected)
    for name in ["tokenizer/merges.txt", "tokenizer/vocab.json", "tokenizer_2/tokenizer.json"] {
      func content(_ folder: String) throws -> String {
        // Texts may be written with other blanks.
        try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
          .filter { !$0.isWhitespace }
      }
      #expect(try content(made) == content(try pipeline()), "\(name)")
    }
    let index = try JSONValue(
      parsing: String(contentsOfFile: made + "/model_index.json", encoding: .utf8))
    #expect(index["tokenizer"]?.arrayValue?.last?.stringValue == "CLIPTokenizer")
    #expect(index["tokenizer_2"]?.arrayValue?.last?.stringValue == "T5TokenizerFast")
    // What this program wrote it may replace.
    _ = try convert(.all, ModelPaths(model: try whole()), to: "made", container: .folder)
  }

  // MARK: Kept

  @Test("a tokenizer that was named is kept, found again and never overwritten")
  func kept() async {
    // The user's folders are the environment's: another process.
    await #expect(processExitsWith: .success) {
      let home = try TemporaryFolder()
      setenv("HOME", home.path, 1)
      for name in ["XDG_DATA_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE"] { unsetenv(name) }
      try SeveralTokenizersTests().keepAndFind(home)
    }
  }

  private func keepAndFind(_ home: TemporaryFolder) throws {
    let pipeline = try pipeline()
    let expected = try ids(try open(ModelPaths(model: pipeline)))
    try FileManager.default.moveItem(
      atPath: pipeline + "/tokenizer", toPath: folder.path("moved"))
    #expect(fault(ModelPaths(model: pipeline))?.kind == .notFound)
    let named = try open(
      ModelPaths(
        model: pipeline, tokenizer: pipeline + "/tokenizer_2", clipTokenizer: folder.path("moved")))
    #expect(named.namedTokenizers.map(\.place.option) == ["clip-tokenizer", "tokenizer"])
    let kept = named.namedTokenizers.map(TokenizerStore.keep)
    let place = home.path(".local/share/auraflow/tokenizers/painter-clip")
    #expect(kept == [place, nil])
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: place).sorted() == [
        "merges.txt", "tokenizer_config.json", "vocab.json",
      ])
    // Found where the model has none.
    let sources = try open(ModelPaths(model: pipeline))
    #expect(try sources.tokenizer(of: Reader.slot).path == place + "/merges.txt")
    #expect(try ids(sources) == expected && sources.namedTokenizers.isEmpty)
    #expect(try ModelInspection(path: pipeline, in: catalog).missing.isEmpty)
    #expect(TokenizerStore.keep(named.namedTokenizers[0]) == nil)
    // The hub's cache comes before.
    let snapshot = home.path(".cache/huggingface/hub/models--painter--clip/snapshots/1")
    try FileManager.default.createDirectory(
      atPath: snapshot, withIntermediateDirectories: true)
    try FileManager.default.createDirectory(
      atPath: snapshot + "/../../refs", withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      atPath: folder.path("moved"), toPath: snapshot + "/tokenizer")
    #expect(
      try open(ModelPaths(model: pipeline)).tokenizer(of: Reader.slot).path
        == snapshot + "/tokenizer/merges.txt")
    // A model with a tokenizer of its own comes first, and one of another size is not kept.
    try FileManager.default.copyItem(
      atPath: folder.path("moved"), toPath: pipeline + "/tokenizer")
    #expect(
      try open(ModelPaths(model: pipeline)).tokenizer(of: Reader.slot).path
        == pipeline + "/tokenizer/merges.txt")
    try remove(place)
    try folder.write(
      Array(SyntheticCLIPTokenizer(idCount: 900).merges.utf8), to: "small/merges.txt")
    let small = try open(ModelPaths(model: pipeline, clipTokenizer: folder.path("small")))
    #expect(small.namedTokenizers.map(TokenizerStore.keep) == [nil])
    #expect(!FileManager.default.fileExists(atPath: place))
  }
}
