import Foundation
import ModelFiles
import StrictJSON

/// Where a model's tokenizer is described; parsing it is the tokenizer's business.
package enum TokenizerSource {
  /// `tokenizer.json` with what lies beside it.
  case json(ConfigurationFile, companions: Companions)
  /// A SentencePiece model.
  case sentencePiece(MappedFile)
  /// `tokenizer.huggingface.json` inside a GGUF file.
  case embeddedJSON(JSONValue, path: String)
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
  }

  /// The file to name in messages.
  package var path: String {
    switch self {
    case .json(let file, _): file.path
    case .sentencePiece(let file): file.path
    case .embeddedJSON(_, let path), .vocabulary(_, let path), .embeddedSentencePiece(_, let path):
      path
    }
  }

  /// Opens a tokenizer named by the user: a folder or a file.
  static func open(_ path: String, className: String? = nil) throws(ModelFileError)
    -> TokenizerSource
  {
    if ModelFolder.isFolder(path) {
      if let source = try inFolder(path, className: className) { return source }
      let inner = ModelFolder.join(path, "tokenizer")
      if ModelFolder.isFolder(inner), let source = try inFolder(inner, className: className) {
        return source
      }
      throw ModelFileError(
        path: path, kind: .notFound,
        fault: "has no tokenizer.json, tokenizer.model or spiece.model")
    }
    let folder = ModelFolder.folder(of: path)
    if path.hasSuffix(".json") {
      return .json(
        try ConfigurationFile(path: path, limit: ConfigurationFile.maximumTokenizerLength),
        companions: try Companions(in: folder, className: className))
    }
    let file = try MappedFile(path: path)
    if file.bytes.prefix(4).elementsEqual("GGUF".utf8) {
      let archive = try TensorArchive(path: path)
      if let source = try inArchive(archive) { return source }
      throw file.malformed("has no tokenizer in its metadata ('tokenizer.ggml.tokens')")
    }
    return .sentencePiece(file)
  }

  /// The tokenizer of a folder, `tokenizer.json` first, as the reference reads it.
  static func inFolder(
    _ folder: String, className: String?
  ) throws(ModelFileError) -> TokenizerSource? {
    let json = ModelFolder.join(folder, "tokenizer.json")
    if FileManager.default.fileExists(atPath: json) {
      return .json(
        try ConfigurationFile(path: json, limit: ConfigurationFile.maximumTokenizerLength),
        companions: try Companions(in: folder, className: className))
    }
    for name in ["tokenizer.model", "spiece.model"] {
      let path = ModelFolder.join(folder, name)
      if FileManager.default.fileExists(atPath: path) {
        return .sentencePiece(try MappedFile(path: path))
      }
    }
    return nil
  }

  /// The tokenizer that a checkpoint carries.
  static func inArchive(_ archive: TensorArchive) throws(ModelFileError) -> TokenizerSource? {
    if let gguf = archive.gguf {
      if let stored = gguf.value(for: "tokenizer.huggingface.json"),
        let length = stored.stringLength
      {
        guard length <= ConfigurationFile.maximumTokenizerLength else {
          throw gguf.file.malformed(
            "metadata 'tokenizer.huggingface.json' has \(length) bytes, at most "
              + "\(ConfigurationFile.maximumTokenizerLength) are allowed")
        }
        let text = stored.string ?? ""
        do {
          return .embeddedJSON(try JSONValue(parsing: text), path: archive.path)
        } catch {
          throw gguf.file.malformed("metadata 'tokenizer.huggingface.json': \(error)")
        }
      }
      return gguf.value(for: "tokenizer.ggml.tokens") == nil
        ? nil : .vocabulary(gguf, path: archive.path)
    }
    guard
      let index = archive.tensors.records.firstIndex(where: {
        ($0.name == "spiece_model" || $0.name.hasSuffix(".spiece_model")) && $0.shape.count == 1
          && ($0.type == .u8 || $0.type == .i8)
          && $0.byteCount <= ConfigurationFile.maximumTokenizerLength
      })
    else { return nil }
    return .embeddedSentencePiece([UInt8](archive.contents(of: index).bytes), path: archive.path)
  }
}
