import StrictJSON

/// The way of a text through a tokenizer.json, up to the ids of the text itself.
struct TokenizerJSONPipeline: Sendable {
  private let splitter: AddedTokenSplitter
  private let normalizer: Normalizer?
  private let preTokenizer: PreTokenizer
  private let model: BytePairModel

  /// Reads the sections of the file.
  init(
    json: JSONValue, llamaOverrides settings: LlamaTokenizerSettings?
  ) throws(TokenizerError) {
    guard let modelJSON = json.optional("model") else {
      throw TokenizerError("model: expected an object, found nothing")
    }
    model = try BytePairModel(json: modelJSON, asLlama: settings != nil)
    let tokens: [AddedToken]
    if let settings {
      normalizer = nil
      preTokenizer = PreTokenizer(llama: settings.prependScheme)
      tokens = try settings.addedTokens(tokenizerJSON: json)
    } else {
      if let section = json.optional("normalizer") {
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

  var vocabularySize: Int { model.vocabulary.count + splitter.countOutside(model.vocabulary) }

  var largestID: Int32 { max(model.largestID, splitter.largestID ?? 0) }

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
