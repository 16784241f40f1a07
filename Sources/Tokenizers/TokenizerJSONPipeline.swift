import StrictJSON

/// The way of a text through a tokenizer.json, up to the ids of the text itself.
struct TokenizerJSONPipeline: Sendable {
  /// The model section.
  private enum Model {
    case bytePair(BytePairModel)
    case unigram(UnigramModel)

    var vocabulary: PieceTable {
      switch self {
      case .bytePair(let model): model.vocabulary
      case .unigram(let model): model.vocabulary
      }
    }

    func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int32]) {
      switch self {
      case .bytePair(let model): model.encode(word, into: &ids)
      case .unigram(let model): model.encode(word, into: &ids)
      }
    }
  }

  private let splitter: AddedTokenSplitter
  private let normalizer: Normalizer?
  private let preTokenizer: PreTokenizer
  private let model: Model

  /// Reads the sections of the file.
  ///
  /// - Parameters:
  ///   - json: the file.
  ///   - settings: what a class of transformers changes; nil for a file as it is.
  /// - Throws: ``TokenizerError`` if a section is malformed or unsupported.
  init(json: JSONValue, settings: TokenizerClassSettings?) throws(TokenizerError) {
    guard let modelJSON = json.optional("model") else {
      throw TokenizerError("model: expected an object, found nothing")
    }
    let type = try Self.modelType(json)
    switch type {
    case "BPE":
      model = .bytePair(try BytePairModel(json: modelJSON, options: settings?.bytePairOptions))
    case "Unigram":
      let isT5 = settings?.tokenizerClass == .t5
      model = .unigram(try UnigramModel(json: modelJSON, asT5: isT5))
    default:
      throw .unsupported(
        "a model of type \(quoted(type)) (only BPE and Unigram are)", at: "model.type")
    }
    let section = json.optional("normalizer")
    let tokens: [AddedToken]
    if let settings {
      normalizer = try settings.normalizer(section)
      preTokenizer = try settings.preTokenizer()
      tokens = try settings.addedTokens(tokenizerJSON: json)
    } else {
      if let section {
        normalizer = try Normalizer(json: section, at: "normalizer")
      } else {
        normalizer = nil
      }
      try normalizer?.checkGrowth(at: "normalizer")
      preTokenizer = try PreTokenizer(json: json.optional("pre_tokenizer"))
      tokens = try AddedToken.list(tokenizerJSON: json).map(\.token)
    }
    splitter = try AddedTokenSplitter(
      tokens, vocabulary: model.vocabulary, normalizer: normalizer,
      leavesSpecial: settings?.leavesSpecial ?? false)
  }

  /// The kind of model that a tokenizer.json has; old files with merges do not say.
  static func modelType(_ json: JSONValue) throws(TokenizerError) -> String {
    try json.optional("model")?.optionalString("type", at: "model") ?? "BPE"
  }

  var vocabularySize: Int { model.vocabulary.count + splitter.countOutside(model.vocabulary) }

  var largestID: Int32 {
    let own: Int32 =
      switch model {
      case .bytePair(let model): model.largestID
      case .unigram(let model): Int32(truncatingIfNeeded: model.vocabulary.count - 1)
      }
    return max(own, splitter.largestID ?? 0)
  }

  /// The id of a token by its exact text.
  func id(of text: String) -> Int32? {
    splitter.id(of: text.utf8) ?? model.vocabulary.id(of: text.utf8)
  }

  /// The ids of a text: added tokens are cut out before and after normalization, and the model
  /// encodes the words of what is left.
  func encode(_ text: [UInt8]) -> [Int32] {
    var ids: [Int32] = []
    for section in splitter.split(text, afterNormalization: false) {
      switch section {
      case .token(let id): ids.append(id)
      case .text(let range):
        encodeSection(Array(text[range]), startsText: range.lowerBound == 0, into: &ids)
      }
    }
    return ids
  }

  private func encodeSection(_ section: [UInt8], startsText: Bool, into ids: inout [Int32]) {
    var text = section
    var startsText = startsText
    normalizer?.normalize(&text, startsText: &startsText)
    for part in splitter.split(text, afterNormalization: true) {
      switch part {
      case .token(let id): ids.append(id)
      case .text(let range):
        let words = preTokenizer.words(
          Array(text[range]), startsText: startsText && range.lowerBound == 0)
        for word in words { model.encode(word[...], into: &ids) }
      }
    }
  }
}

// MARK: Pipelines of classes

extension TokenizerClassSettings {
  /// How the class runs a byte-pair encoding.
  fileprivate var bytePairOptions: BytePairModel.Options? {
    switch tokenizerClass {
    case .llama: .init(fusesUnknown: true, fallsBackToBytes: true)
    case .clip:
      .init(
        unknownToken: roles["unk_token"] ?? CLIPVocabulary.end, endOfWord: CLIPVocabulary.endOfWord)
    case .t5: nil
    }
  }

  /// The normalizer of the class.
  ///
  /// - Parameter section: the file's, of which T5 keeps the map of characters.
  /// - Returns: nil if texts stay as they are.
  /// - Throws: ``TokenizerError`` if that is malformed.
  fileprivate func normalizer(_ section: JSONValue?) throws(TokenizerError) -> Normalizer? {
    switch tokenizerClass {
    case .llama: return nil
    case .clip: return try Normalizer(json: CLIPVocabulary.normalizer, at: "normalizer")
    case .t5:
      let steps = section?.optional("normalizers")?.arrayValue ?? [section].compactMap { $0 }
      for step in steps where step.optional("type")?.stringValue == "Precompiled" {
        return try Normalizer(json: step, at: "normalizer")
      }
      return nil
    }
  }

  /// The pre-tokenizer of the class.
  fileprivate func preTokenizer() throws(TokenizerError) -> PreTokenizer {
    let space = Array("▁".utf8)
    switch tokenizerClass {
    case .llama:
      return PreTokenizer([
        .metaspace(.init(replacement: space, prependScheme: prependScheme, splits: false))
      ])
    case .clip: return try PreTokenizer(json: CLIPVocabulary.preTokenizer)
    case .t5:
      return PreTokenizer([
        .whitespaceSplit,
        .metaspace(.init(replacement: space, prependScheme: .always, splits: true)),
      ])
    }
  }
}
