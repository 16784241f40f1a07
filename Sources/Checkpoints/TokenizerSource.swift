import ModelFiles
import StrictJSON
import Tokenizers

/// Where a model's tokenizer is described; parsing it is the tokenizer's business.
package enum TokenizerSource: Sendable {
  /// Longest description of a tokenizer, in bytes (a published one has 3.6 MB).
  static let maximumLength = 16 << 20

  /// `tokenizer.json`, or its text in a GGUF file, with what lies beside it.
  case json(JSONDocument, companions: Companions)
  /// A SentencePiece model.
  case sentencePiece(MappedFile)
  /// `merges.txt`, or its text in a GGUF file, with `vocab.json` where there is one.
  case merges(StoredText, vocabulary: JSONDocument?, companions: Companions)
  /// `tokenizer.ggml.*` inside a GGUF file.
  case vocabulary(GGUFFile, TokenizerKeys, path: String)
  /// A SentencePiece model stored as a tensor of bytes (ComfyUI).
  case embeddedSentencePiece([UInt8], path: String)

  /// A text that lies in a file.
  package struct StoredText: Sendable {
    let file: MappedFile
    let range: Range<Int>

    /// UTF-8, not checked.
    package var bytes: [UInt8] { Array(file.bytes[range]) }
    /// The text as it is in the file.
    package var text: String { String(decoding: file.bytes[range], as: UTF8.self) }
  }

  /// What decides how a `tokenizer.json` or `merges.txt` is used.
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

    /// What a GGUF file tells beside the tokenizer's own text.
    init(in gguf: GGUFFile, _ keys: TokenizerKeys) throws(ModelFileError) {
      func file(_ key: String) throws(ModelFileError) -> ConfigurationFile? {
        guard let (range, file) = gguf.value(for: key)?.textRange else { return nil }
        return try ConfigurationFile(range, of: file, what: "metadata '\(key)'")
      }
      settings = try file(keys.settings)
      specialTokens = try file(keys.specialTokens)
      className = gguf.value(for: keys.className)?.textPrefix(256)
    }

    var files: [String] { [settings, specialTokens].compactMap { $0?.path } }
  }

  /// The file to name in messages.
  package var path: String {
    switch self {
    case .json(let document, _): document.path
    case .sentencePiece(let file): file.path
    case .merges(let merges, _, _): merges.file.path
    case .vocabulary(_, _, let path), .embeddedSentencePiece(_, let path): path
    }
  }

  /// Every file that was read.
  var files: [String] {
    switch self {
    case .json(let document, let companions): [document.path] + companions.files
    case .merges(let merges, let vocabulary, let companions):
      [merges.file.path] + [vocabulary?.path].compactMap { $0 } + companions.files
    case .sentencePiece, .vocabulary, .embeddedSentencePiece: [path]
    }
  }

  /// How it splits text; nil where nothing shows it.
  var form: TokenizerForm? {
    switch self {
    case .json(let document, _): document.withBytes { TokenizerForm(tokenizerJSON: $0) }
    case .sentencePiece(let file): TokenizerForm(sentencePieceModel: Array(file.bytes))
    case .merges(let merges, _, _): TokenizerForm(merges: merges.file.bytes[merges.range])
    case .vocabulary(let gguf, let keys, _):
      gguf.value(for: keys.ggml("model"))?.textPrefix(64).flatMap {
        TokenizerForm(ggufModel: $0)
      }
    case .embeddedSentencePiece(let bytes, _): TokenizerForm(sentencePieceModel: bytes)
    }
  }
}

/// The files and parts of files that a tokenizer comes in.
extension TokenizerSource {
  /// The tokenizer in one of a folder's files.
  ///
  /// - Parameters:
  ///   - name: one of `TokenizerForm.fileNames`.
  ///   - folder: the folder.
  ///   - className: the class that the pipeline's index names.
  /// - Returns: the tokenizer; nil if there is no such file.
  /// - Throws: `ModelFileError` if the file cannot be used.
  static func named(
    _ name: String, in folder: String, className: String?
  ) throws(ModelFileError) -> TokenizerSource? {
    let path = ModelFolder.join(folder, name)
    guard FileSystem.exists(path) else { return nil }
    switch name {
    case "tokenizer.json": return try json(path, className: className)
    case "merges.txt": return try merges(path, className: className)
    default: return try pieces(of: MappedFile(path: path))
    }
  }

  static func json(_ path: String, className: String?) throws(ModelFileError) -> TokenizerSource {
    .json(
      try JSONDocument(path: path, limit: maximumLength),
      companions: try Companions(in: ModelFolder.folder(of: path), className: className))
  }

  /// A file of merges, with the vocabulary beside it.
  static func merges(_ path: String, className: String?) throws(ModelFileError) -> TokenizerSource {
    let file = try MappedFile(path: path)
    try checkLength(of: file)
    guard TokenizerForm(merges: file.bytes) != nil else {
      let isList = file.bytes.starts(with: "#version".utf8)
      throw file.malformed(
        (isList ? nil : file.strangeContent)
          ?? "holds no merges of words ('</w>'): expected merges.txt or tokenizer.json of CLIP")
    }
    let folder = ModelFolder.folder(of: path)
    let vocabulary = ModelFolder.join(folder, "vocab.json")
    return .merges(
      StoredText(file: file, range: 0..<file.bytes.count),
      vocabulary: FileSystem.exists(vocabulary)
        ? try JSONDocument(path: vocabulary, limit: maximumLength) : nil,
      companions: try Companions(in: folder, className: className))
  }

  /// A SentencePiece model, which has no magic of its own.
  static func pieces(of file: MappedFile) throws(ModelFileError) -> TokenizerSource {
    if let kind = file.strangeContent { throw file.malformed(kind) }
    guard !file.isModel else {
      throw file.malformed(
        "is a model, not a tokenizer: expected tokenizer.json or tokenizer.model")
    }
    try checkLength(of: file)
    return .sentencePiece(file)
  }

  private static func checkLength(of file: MappedFile) throws(ModelFileError) {
    guard file.size <= maximumLength else {
      throw file.malformed(
        "has \(file.size) bytes, at most \(maximumLength) are allowed for a tokenizer")
    }
  }

  /// The tokenizer that a checkpoint carries.
  ///
  /// - Parameters:
  ///   - archive: the checkpoint.
  ///   - keys: the keys under which GGUF files have it.
  /// - Returns: the tokenizer, of whatever form; nil if there is none.
  /// - Throws: `ModelFileError` if it is malformed.
  static func inArchive(
    _ archive: TensorArchive, _ keys: TokenizerKeys
  ) throws(ModelFileError) -> TokenizerSource? {
    if let gguf = archive.gguf { return try inMetadata(gguf, keys, path: archive.path) }
    guard
      let index = archive.tensors.records.firstIndex(where: {
        ($0.name == "spiece_model" || $0.name.hasSuffix(".spiece_model")) && $0.shape.count == 1
          && ($0.type == .u8 || $0.type == .i8)
          && $0.byteCount <= maximumLength
      })
    else { return nil }
    return .embeddedSentencePiece(try archive.copy(of: index), path: archive.path)
  }

  private static func inMetadata(
    _ gguf: GGUFFile, _ keys: TokenizerKeys, path: String
  ) throws(ModelFileError) -> TokenizerSource? {
    func document(_ key: String) throws(ModelFileError) -> JSONDocument? {
      guard let (range, file) = gguf.value(for: key)?.textRange else { return nil }
      return try JSONDocument(range, of: file, what: "metadata '\(key)'", limit: maximumLength)
    }
    if let json = try document(keys.json) {
      return .json(json, companions: try Companions(in: gguf, keys))
    }
    if let (range, file) = gguf.value(for: keys.merges)?.textRange {
      guard range.count <= maximumLength else {
        throw file.malformed(
          "metadata '\(keys.merges)' has \(range.count) bytes, at most \(maximumLength) are "
            + "allowed for a tokenizer")
      }
      return .merges(
        StoredText(file: file, range: range), vocabulary: try document(keys.vocabulary),
        companions: try Companions(in: gguf, keys))
    }
    return gguf.value(for: keys.ggml("tokens")) == nil ? nil : .vocabulary(gguf, keys, path: path)
  }
}
