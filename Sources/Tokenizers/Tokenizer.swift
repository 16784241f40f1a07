import StrictJSON

/// Turns a prompt into the token ids of a text encoder.
///
/// Four kinds of file describe one: a tokenizer.json of Hugging Face's tokenizers library, a
/// SentencePiece model, the metadata of a GGUF file, and the merges of a CLIP vocabulary. They are
/// byte-pair encodings or unigram models.
package struct Tokenizer: Sendable {
  private enum Pipeline {
    case tokenizerJSON(TokenizerJSONPipeline)
    case sentencePiece(SentencePieceEncoder)
  }

  private let pipeline: Pipeline
  private let postProcessor: PostProcessor
  private let keepsEnd: Bool
  /// How many ids there are.
  package let vocabularySize: Int
  /// The largest id that a text can give: the embedding needs at least one row more.
  package let largestID: Int32
  /// The id that ends every text, or that would; nil if the files do not tell.
  package let endOfSequenceID: Int32?
  /// The id that texts are padded with; nil if the files do not tell.
  package let paddingID: Int32?

  /// Reads a tokenizer.json.
  ///
  /// - Parameters:
  ///   - json: the file. Its own truncation and padding sections do not matter, except for
  ///     ``paddingID`` and for the side at which `settings` lets text be cut.
  ///   - settings: what a class of transformers changes; nil runs the file as it is, and so does
  ///     a class that has another kind of model.
  /// - Throws: ``TokenizerError`` if the file is malformed or describes something unsupported.
  package init(
    tokenizerJSON json: JSONValue, settings: TokenizerClassSettings?
  ) throws(TokenizerError) {
    guard json.members != nil else {
      throw TokenizerError("expected an object, found \(json.brief)")
    }
    if let version = try json.optionalString("version", at: "tokenizer"), version != "1.0" {
      throw .unsupported("the version \(quoted(version)) (only 1.0 is)", at: "version")
    }
    let type = try TokenizerJSONPipeline.modelType(json)
    let settings = settings?.tokenizerClass.modelType == type ? settings : nil
    let pipeline = try TokenizerJSONPipeline(json: json, settings: settings)
    func id(_ role: String) -> Int32? { settings?.roles[role].flatMap(pipeline.id) }
    switch settings?.tokenizerClass {
    case nil, .llama?: postProcessor = try PostProcessor(json: json.optional("post_processor"))
    case .t5?:
      postProcessor = PostProcessor(before: [], after: [id("eos_token")].compactMap { $0 })
    case .clip?:
      postProcessor = PostProcessor(
        before: [id("bos_token")].compactMap { $0 }, after: [id("eos_token")].compactMap { $0 })
    }
    if let settings {
      let direction = json.optional("truncation")?.optional("direction")?.stringValue
      keepsEnd = settings.keepsEnd ?? (direction == "Left")
    } else {
      keepsEnd = false
    }
    vocabularySize = pipeline.vocabularySize
    largestID = max(pipeline.largestID, postProcessor.largestID ?? 0)
    endOfSequenceID =
      postProcessor.finalID ?? pipeline.id(of: settings?.roles["eos_token"] ?? "</s>")
    let padding = try json.optional("padding")?.optional("pad_id")?.tokenID(at: "padding.pad_id")
    paddingID = id("pad_token") ?? padding
    self.pipeline = .tokenizerJSON(pipeline)
  }

  /// Reads the vocabulary of CLIP's text encoders.
  ///
  /// A text is put between a start and an end token. The published encoders take 77 ids, whatever
  /// `model_max_length` says.
  ///
  /// - Parameters:
  ///   - merges: merges.txt.
  ///   - vocabulary: vocab.json; it follows from the merges where it is nil.
  ///   - settings: what the other files of the folder say; nil is a folder without them.
  /// - Throws: ``TokenizerError`` if a file is malformed.
  package init(
    clipMerges merges: [UInt8], vocabulary: JSONValue? = nil,
    settings: TokenizerClassSettings? = nil
  ) throws(TokenizerError) {
    let json = try CLIPVocabulary(merges: merges, vocabulary: vocabulary)
      .tokenizerJSON(settings: settings)
    let usual = try TokenizerClassSettings(.clip, tokenizerConfig: nil)
    try self.init(tokenizerJSON: json, settings: settings ?? usual)
  }

  /// Reads a SentencePiece model file, as in tokenizer.model or spiece.model.
  ///
  /// Texts end with the model's end-of-sequence piece, and no token starts them: the convention
  /// of T5 encoders.
  ///
  /// - Parameter bytes: the file.
  /// - Throws: ``TokenizerError`` if the file is malformed, or has another kind of model.
  package init(sentencePieceModel bytes: [UInt8]) throws(TokenizerError) {
    let vocabulary = try SentencePieceVocabulary(modelFile: bytes)
    let encoder = try SentencePieceEncoder(vocabulary)
    let end = encoder.controlID(vocabulary.endOfSequence)
    self.init(
      encoder, before: [], after: end.map { [$0] } ?? [], endOfSequenceID: end,
      paddingID: encoder.controlID(vocabulary.padding))
  }

  /// Uses the vocabulary in the metadata of a GGUF file.
  ///
  /// - Parameter vocabulary: the metadata.
  /// - Throws: ``TokenizerError`` if it is inconsistent, or of a kind other than "llama" and "t5".
  package init(ggufVocabulary vocabulary: GGUFVocabulary) throws(TokenizerError) {
    let encoder = try SentencePieceEncoder(try vocabulary.sentencePieces())
    let addsStart = vocabulary.addBOS ?? false
    let addsEnd = vocabulary.addEOS ?? true
    let start =
      addsStart
      ? [try vocabulary.specialID(vocabulary.bosID, byDefault: 1, "tokenizer.ggml.bos_token_id")]
      : []
    let end = try vocabulary.specialID(
      vocabulary.eosID, byDefault: vocabulary.defaultEOS, "tokenizer.ggml.eos_token_id")
    // Files whose padding nobody uses give ids that do not exist.
    let padding = vocabulary.paddingID.flatMap { vocabulary.tokens.indices.contains($0) ? $0 : nil }
    self.init(
      encoder, before: start, after: addsEnd ? [end] : [], endOfSequenceID: end,
      paddingID: padding.map { Int32(truncatingIfNeeded: $0) })
  }

  private init(
    _ encoder: SentencePieceEncoder, before: [Int32], after: [Int32], endOfSequenceID: Int32?,
    paddingID: Int32?
  ) {
    pipeline = .sentencePiece(encoder)
    postProcessor = PostProcessor(before: before, after: after)
    keepsEnd = false
    vocabularySize = encoder.count
    largestID = Int32(truncatingIfNeeded: encoder.count - 1)
    self.endOfSequenceID = endOfSequenceID
    self.paddingID = paddingID
  }

  /// The ids of a text, with the special tokens that belong around it.
  ///
  /// - Parameters:
  ///   - text: the text.
  ///   - maximumLength: the most ids to return, special tokens included: longer text is cut so
  ///     that they fit. Nil cuts nothing.
  /// - Returns: ids from 0 to ``largestID``.
  package func encode(_ text: String, maximumLength: Int? = nil) -> [Int32] {
    postProcessor.process(textIDs(text), maximumLength: maximumLength, keepsEnd: keepsEnd)
  }

  /// The ids of a text, and how many were cut off.
  ///
  /// - Parameters:
  ///   - text: the text.
  ///   - maximumLength: the most ids to return, special tokens included.
  /// - Returns: what `encode` returns, and how many ids more it would be without the limit.
  package func encodeCounting(
    _ text: String, maximumLength: Int
  ) -> (ids: [Int32], droppedCount: Int) {
    let textIDs = textIDs(text)
    let whole = postProcessor.process(textIDs, maximumLength: nil, keepsEnd: keepsEnd)
    let ids = postProcessor.process(textIDs, maximumLength: maximumLength, keepsEnd: keepsEnd)
    return (ids, whole.count - ids.count)
  }

  /// The ids of texts that are tokenized one by one and follow each other.
  ///
  /// - Parameters:
  ///   - texts: the texts.
  ///   - maximumLength: the most ids to return, special tokens included.
  /// - Returns: the ids, for each the text that it comes from (nil for special tokens), and how
  ///   many ids more it would be without the limit.
  package func encodeCounting(
    _ texts: [String], maximumLength: Int
  ) -> (ids: [Int32], origins: [Int?], droppedCount: Int) {
    let pieces = texts.map(textIDs)
    let all = pieces.flatMap(\.self)
    let origins = pieces.enumerated().flatMap { index, ids in ids.map { _ in index } }
    // Places instead of ids, to see where each of them comes to lie.
    let places = all.indices.map { -1 - Int32($0) }
    func placed(_ limit: Int?) -> [Int32] {
      postProcessor.process(places, maximumLength: limit, keepsEnd: keepsEnd)
    }
    let kept = placed(maximumLength)
    return (
      kept.map { $0 < 0 ? all[Int(-1 - $0)] : $0 },
      kept.map { $0 < 0 ? origins[Int(-1 - $0)] : nil }, placed(nil).count - kept.count
    )
  }

  /// The ids of texts alone, without special tokens.
  package func encodeAlone(_ texts: [String]) -> [[Int32]] { texts.map(textIDs) }

  /// The ids of the text alone.
  private func textIDs(_ text: String) -> [Int32] {
    let bytes = Array(text.utf8)
    return switch pipeline {
    case .tokenizerJSON(let pipeline): pipeline.encode(bytes)
    case .sentencePiece(let encoder): encoder.encode(bytes)
    }
  }
}
