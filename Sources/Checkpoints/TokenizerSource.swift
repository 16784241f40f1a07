import ModelFiles
import StrictJSON

/// Where a model's tokenizer is described; parsing it is the tokenizer's business.
package enum TokenizerSource {
  /// Longest description of a tokenizer, in bytes (a published one has 3.6 MB).
  private static let maximumLength = 16 << 20

  /// `tokenizer.json`, or `tokenizer.huggingface.json` in a GGUF file, with what lies beside it.
  case json(JSONDocument, companions: Companions)
  /// A SentencePiece model.
  case sentencePiece(MappedFile)
  /// `tokenizer.ggml.*` inside a GGUF file.
  case vocabulary(GGUFFile, path: String)
  /// A SentencePiece model stored as a tensor of bytes (ComfyUI).
  case embeddedSentencePiece([UInt8], path: String)

  /// What decides how a `tokenizer.json` is used.
  package struct Companions: Sendable {
    /// `tokenizer_config.json`.
    package let settings: ConfigurationFile?
    /// `special_tokens_map.json`.
    package let specialTokens: ConfigurationFile?
    /// The class that the pipeline's index names.
    package let className: String?

    init(in folder: String, className: String?) throws(ModelFileError) {
      settings = try ConfigurationFile.ifPresent(
        ModelFolder.join(folder, "tokenizer_config.json"))
      specialTokens = try ConfigurationFile.ifPresent(
        ModelFolder.join(folder, "special_tokens_map.json"))
      self.className = className
    }

    /// What a GGUF file tells beside `tokenizer.huggingface.json`.
    init(in gguf: GGUFFile) throws(ModelFileError) {
      func file(_ key: String) throws(ModelFileError) -> ConfigurationFile? {
        guard let (range, file) = gguf.value(for: key)?.textRange else { return nil }
        return try ConfigurationFile(range, of: file, what: "metadata '\(key)'")
      }
      settings = try file(Self.settingsKey)
      specialTokens = try file(Self.specialTokensKey)
      className = gguf.value(for: Self.classNameKey)?.textPrefix(256)
    }

    /// Keys of GGUF metadata for the same.
    package static let settingsKey = "tokenizer.huggingface.config"
    package static let specialTokensKey = "tokenizer.huggingface.special_tokens_map"
    package static let classNameKey = "tokenizer.huggingface.class"
  }

  /// The file to name in messages.
  package var path: String {
    switch self {
    case .json(let document, _): document.path
    case .sentencePiece(let file): file.path
    case .vocabulary(_, let path), .embeddedSentencePiece(_, let path):
      path
    }
  }

  /// Every file that was read.
  var files: [String] {
    guard case .json(let document, let companions) = self else { return [path] }
    return [document.path]
      + [companions.settings, companions.specialTokens].compactMap { $0?.path }
  }

  /// Opens a tokenizer named by the user: a folder or a file.
  static func open(_ path: String, className: String? = nil) throws(ModelFileError)
    -> TokenizerSource
  {
    if ModelFolder.isFolder(path) {
      let snapshot = HubCache.resolve(path)
      for folder in [snapshot, ModelFolder.join(snapshot, "tokenizer")]
      where ModelFolder.isFolder(folder) {
        if let source = try inFolder(folder, className: className) { return source }
      }
      throw ModelFileError(
        path: path, kind: .notFound,
        fault: "has no tokenizer.json, tokenizer.model or spiece.model")
    }
    let path = HubCache.resolve(path)
    let folder = ModelFolder.folder(of: path)
    let file = try MappedFile(path: path)
    let isJSON = file.bytes.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) } == UInt8(ascii: "{")
    if path.hasSuffix(".json") || isJSON {
      return .json(
        try JSONDocument(path: path, limit: maximumLength),
        companions: try Companions(in: folder, className: className))
    }
    if file.bytes.prefix(4).elementsEqual("GGUF".utf8) {
      let archive = try TensorArchive(path: path)
      if let source = try inArchive(archive) { return source }
      throw file.malformed("has no tokenizer in its metadata ('tokenizer.ggml.tokens')")
    }
    return try pieces(of: file)
  }

  /// A SentencePiece model, which has no magic of its own.
  private static func pieces(of file: MappedFile) throws(ModelFileError) -> TokenizerSource {
    if let kind = file.strangeContent { throw file.malformed(kind) }
    guard !file.isModel else {
      throw file.malformed(
        "is a model, not a tokenizer: expected tokenizer.json or tokenizer.model")
    }
    guard file.size <= maximumLength else {
      throw file.malformed(
        "has \(file.size) bytes, at most \(maximumLength) are allowed for a tokenizer")
    }
    return .sentencePiece(file)
  }

  /// The tokenizer that lies around a model's file or folder: in it, in its folder `tokenizer`, or
  /// in that beside a part's folder of a pipeline.
  static func around(
    _ path: String, className: String?, _ catalog: FamilyCatalog
  ) throws(ModelFileError) -> TokenizerSource? {
    let folder = ModelFolder.isFolder(path) ? path : ModelFolder.folder(of: path)
    var folders = [ModelFolder.join(folder, "tokenizer"), folder]
    let name = FileSystem.resolved(folder).map { FileSystem.name(of: $0) }
    if catalog.slots.contains(where: { $0.key == name }) {
      folders.append(ModelFolder.join(folder, "../tokenizer"))
    }
    for folder in folders where ModelFolder.isFolder(folder) {
      if let source = try inFolder(folder, className: className) { return source }
    }
    return nil
  }

  /// The tokenizer of a folder, `tokenizer.json` first, as the reference reads it.
  static func inFolder(
    _ folder: String, className: String?
  ) throws(ModelFileError) -> TokenizerSource? {
    let json = ModelFolder.join(folder, "tokenizer.json")
    if FileSystem.exists(json) {
      return .json(
        try JSONDocument(path: json, limit: maximumLength),
        companions: try Companions(in: folder, className: className))
    }
    for name in ["tokenizer.model", "spiece.model"] {
      let path = ModelFolder.join(folder, name)
      if FileSystem.exists(path) {
        return try pieces(of: MappedFile(path: path))
      }
    }
    return nil
  }

  /// The tokenizer that a checkpoint carries.
  static func inArchive(_ archive: TensorArchive) throws(ModelFileError) -> TokenizerSource? {
    if let gguf = archive.gguf {
      let key = "tokenizer.huggingface.json"
      if let (range, file) = gguf.value(for: key)?.textRange {
        return .json(
          try JSONDocument(range, of: file, what: "metadata '\(key)'", limit: maximumLength),
          companions: try Companions(in: gguf))
      }
      return gguf.value(for: "tokenizer.ggml.tokens") == nil
        ? nil : .vocabulary(gguf, path: archive.path)
    }
    guard
      let index = archive.tensors.records.firstIndex(where: {
        ($0.name == "spiece_model" || $0.name.hasSuffix(".spiece_model")) && $0.shape.count == 1
          && ($0.type == .u8 || $0.type == .i8)
          && $0.byteCount <= maximumLength
      })
    else { return nil }
    return .embeddedSentencePiece(try archive.copy(of: index), path: archive.path)
  }
}
