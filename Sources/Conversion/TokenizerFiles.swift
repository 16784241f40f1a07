import Checkpoints
import ModelFiles
import StrictJSON
import Tokenizers

/// One tokenizer of a model as files of a diffusers folder.
struct TokenizerFiles {
  private let tokenizer: SlotTokenizer

  init(_ tokenizer: SlotTokenizer) { self.tokenizer = tokenizer }

  private var form: TokenizerForm { tokenizer.place.form }

  /// Its class in transformers.
  var className: String {
    switch tokenizer.source {
    case .json(_, let companions):
      let byDefault =
        form == .sentencePieceBytePairs ? "PreTrainedTokenizerFast" : form.className
      return Self.statedClass(companions) ?? byDefault
    case .merges(_, _, let companions): return Self.statedClass(companions) ?? form.className
    case .sentencePiece, .embeddedSentencePiece, .vocabulary: return form.className
    }
  }

  private static func statedClass(_ companions: TokenizerSource.Companions) -> String? {
    companions.className ?? companions.settings?.json["tokenizer_class"]?.stringValue
  }

  /// Names in the tokenizer's folder with contents.
  ///
  /// - Throws: `ModelFileError` for a malformed tokenizer, `ConversionError` for one that such
  ///   folders cannot have.
  func files() throws -> [(name: String, bytes: [UInt8])] {
    switch tokenizer.source {
    case .json(let document, let companions):
      let settings = try companions.settings?.json ?? settings(of: document)
      return [("tokenizer.json", Array(document.text.utf8))] + files(settings, companions)
    case .merges(let merges, let vocabulary, let companions):
      let names =
        try vocabulary.map { Array($0.text.utf8) }
        ?? FolderDescriptions.bytes(
          tokenizer.tokenizing { () throws(TokenizerError) in
            try CLIPVocabulary(merges: merges.bytes).json
          })
      return [("vocab.json", names), ("merges.txt", merges.bytes)]
        + files(companions.settings?.json ?? CLIPVocabulary.configuration, companions)
    case .sentencePiece(let file): return try pieceFiles([UInt8](file.bytes))
    case .embeddedSentencePiece(let bytes, _): return try pieceFiles(bytes)
    case .vocabulary:
      let names = form.fileNames.prefix(2).joined(separator: " or ")
      throw ConversionError.unusable(
        "the \(tokenizer.place.name) is a vocabulary in a GGUF file, which a folder cannot hold: "
          + "name its \(names) with \(tokenizer.place.flag)")
    }
  }

  private func files(
    _ settings: JSONValue, _ companions: TokenizerSource.Companions
  ) -> [(name: String, bytes: [UInt8])] {
    var files = [("tokenizer_config.json", FolderDescriptions.bytes(settings))]
    if let tokens = companions.specialTokens {
      files.append(("special_tokens_map.json", FolderDescriptions.bytes(tokens.json)))
    }
    return files
  }

  /// What transformers needs to know where the input does not say it.
  private func settings(of document: JSONDocument) throws(ModelFileError) -> JSONValue {
    switch form {
    case .clip: return CLIPVocabulary.configuration
    case .unigram:
      let added = try document.parsed()["added_tokens"]?.arrayValue ?? []
      return unigramSettings(
        sentinels: added.count { $0["content"]?.stringValue?.hasPrefix("<extra_id_") == true })
    case .sentencePieceBytePairs: break
    }
    // T5 models fill up with id 0.
    let vocabulary = try document.parsed()["model"]?["vocab"]
    let names = vocabulary?.members?.lazy.map { ($0.key, $0.value.integerValue) }
    let padding = names?.first { $0.1 == 0 }?.0
    func known(_ name: String) -> JSONValue {
      vocabulary?[name] == nil ? .null : .string(name)
    }
    return [
      "tokenizer_class": .string(className), "clean_up_tokenization_spaces": false,
      "eos_token": known("</s>"), "pad_token": padding.map { .string($0) } ?? .null,
      "unk_token": known("<unk>"),
    ]
  }

  /// What T5's tokenizers have in common.
  ///
  /// - Parameter sentinels: tokens beyond the pieces that stand for gaps, `<extra_id_0>` and so on.
  /// - Returns: the content of tokenizer_config.json.
  private func unigramSettings(sentinels: Int) -> JSONValue {
    [
      "tokenizer_class": .string(className), "clean_up_tokenization_spaces": true,
      "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>",
      "extra_ids": .integer(sentinels),
      "model_max_length": 512,
    ]
  }

  /// A SentencePiece model, with what transformers needs to know beside it.
  private func pieceFiles(
    _ model: [UInt8]
  ) throws(ModelFileError) -> [(name: String, bytes: [UInt8])] {
    guard form != .unigram else {
      return [
        ("spiece.model", model),
        ("tokenizer_config.json", FolderDescriptions.bytes(unigramSettings(sentinels: 100))),
      ]
    }
    let vocabulary = try tokenizer.tokenizing { () throws(TokenizerError) in
      try GGUFVocabulary(sentencePieceModel: model)
    }
    func token(_ id: Int?) -> JSONValue {
      guard let id, vocabulary.tokens.indices.contains(id) else { return .null }
      return .string(String(decoding: vocabulary.tokens[id], as: UTF8.self))
    }
    let settings: JSONValue = [
      "tokenizer_class": .string(className), "clean_up_tokenization_spaces": false,
      "add_bos_token": false, "add_eos_token": true, "eos_token": token(vocabulary.eosID),
      "pad_token": token(0), "unk_token": token(vocabulary.unknownID),
    ]
    return [
      ("tokenizer.model", model), ("tokenizer_config.json", FolderDescriptions.bytes(settings)),
    ]
  }
}
