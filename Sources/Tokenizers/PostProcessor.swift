import StrictJSON

/// The post-processor section of a tokenizer.json: special tokens around the text.
struct PostProcessor: Sendable {
  private enum Element {
    case text
    case tokens([Int32])
  }

  private let elements: [Element]
  /// How many ids of `maximumLength` are kept for special tokens.
  private let reservedCount: Int

  /// A fixed frame around the text.
  init(before: [Int32], after: [Int32]) {
    elements = [.tokens(before), .text, .tokens(after)]
    reservedCount = before.count + after.count
  }

  /// Reads the section; nil is a file without post-processor.
  init(json: JSONValue?) throws(TokenizerError) {
    var reader = TemplateReader()
    if let json { try reader.apply(json, "post_processor") }
    elements = reader.encodings
    reservedCount = reader.reservedCount
  }

  /// The largest id that is added.
  var largestID: Int32? {
    elements.compactMap { if case .tokens(let ids) = $0 { ids.max() } else { nil } }.max()
  }

  /// The last id, if it is one that is added behind the text.
  var finalID: Int32? {
    if case .tokens(let ids) = elements.last, elements.count > 1 { ids.last } else { nil }
  }

  /// The ids of the text, shortened and with the special tokens.
  ///
  /// - Parameters:
  ///   - ids: the ids of the text.
  ///   - maximumLength: the most ids to return; nil for all.
  ///   - keepsEnd: whether the start of the text is dropped rather than its end.
  /// - Returns: no more ids than `maximumLength`.
  func process(_ ids: [Int32], maximumLength: Int?, keepsEnd: Bool) -> [Int32] {
    var text = ids[...]
    if let maximumLength {
      let room = max(0, maximumLength - reservedCount)
      text = keepsEnd ? ids.suffix(room) : ids.prefix(room)
    }
    var result: [Int32] = []
    for element in elements {
      switch element {
      case .text: result.append(contentsOf: text)
      case .tokens(let tokens): result.append(contentsOf: tokens)
      }
    }
    if let maximumLength { return Array(result.prefix(max(0, maximumLength))) }
    return result
  }

  /// Applies templates one after the other, as a sequence of post-processors does.
  private struct TemplateReader {
    /// What a template calls sequences A and B; the first template gets the text only.
    var encodings: [Element] = [.text]
    var reservedCount = 0
    /// Pieces and ids that were read so far.
    private var readCount = 0

    mutating func apply(_ json: JSONValue, _ place: String) throws(TokenizerError) {
      let type = try json.string("type", at: place)
      switch type {
      case "TemplateProcessing": try applyTemplate(json, place)
      case "RobertaProcessing": try applyFrame(json, place)
      case "Sequence":
        for (index, part) in try json.array("processors", at: place).enumerated() {
          try apply(part, "\(place).processors[\(index)]")
        }
      default: throw .unsupported("a post-processor of type \(quoted(type))", at: place)
      }
    }

    private mutating func applyTemplate(
      _ json: JSONValue, _ place: String
    ) throws(TokenizerError) {
      // A second template sees each piece of the first one as a sequence.
      guard (1...2).contains(encodings.count) else {
        throw .unsupported("a template after one of \(encodings.count) pieces", at: place)
      }
      // Room is always reserved as for a single text.
      for piece in try pieces(json, "single", place) {
        if case .special(let ids) = piece { reservedCount += ids.count }
      }
      var result: [Element] = []
      let key = encodings.count == 1 ? "single" : "pair"
      for piece in try pieces(json, key, place) {
        switch piece {
        case .special(let ids): result.append(.tokens(ids))
        case .sequence(let index):
          guard index < encodings.count else {
            throw TokenizerError("\(place).\(key): sequence B is used, but there is only A")
          }
          result.append(encodings[index])
        }
      }
      encodings = result
    }

    /// A start and an end token, as `["<s>", 0]` each.
    private mutating func applyFrame(_ json: JSONValue, _ place: String) throws(TokenizerError) {
      guard encodings.count == 1 else {
        throw .unsupported("a frame after a template", at: place)
      }
      func token(_ key: String) throws(TokenizerError) -> [Int32] {
        let pair = try json.array(key, at: place)
        guard pair.count == 2 else {
          throw TokenizerError("\(place).\(key): expected a token and its id, found \(pair.count)")
        }
        return [try pair[1].tokenID(at: "\(place).\(key)")]
      }
      encodings = [.tokens(try token("cls"))] + encodings + [.tokens(try token("sep"))]
      reservedCount += 2
    }

    private enum Piece {
      case sequence(Int)
      case special([Int32])
    }

    /// Counts what was read: every piece may name the same long list of ids again.
    private mutating func count(_ read: Int, _ place: String) throws(TokenizerError) {
      readCount += read
      guard readCount <= TokenizerLimits.templatePieces else {
        throw .unsupported(
          "a template of more than \(TokenizerLimits.templatePieces) pieces and ids", at: place)
      }
    }

    private mutating func pieces(
      _ json: JSONValue, _ key: String, _ place: String
    ) throws(TokenizerError) -> [Piece] {
      var pieces: [Piece] = []
      for (index, value) in try json.array(key, at: place).enumerated() {
        let piecePlace = "\(place).\(key)[\(index)]"
        try count(1, place)
        if let sequence = value.optional("Sequence") {
          let id = try sequence.string("id", at: "\(piecePlace).Sequence")
          guard id == "A" || id == "B" else {
            throw TokenizerError("\(piecePlace): expected sequence A or B, found \(quoted(id))")
          }
          pieces.append(.sequence(id == "A" ? 0 : 1))
        } else if let special = value.optional("SpecialToken") {
          let id = try special.string("id", at: "\(piecePlace).SpecialToken")
          let ids = try specialIDs(json, id, piecePlace, place)
          try count(ids.count, place)
          pieces.append(.special(ids))
        } else {
          throw TokenizerError(
            "\(piecePlace): expected Sequence or SpecialToken, found \(value.brief)")
        }
      }
      return pieces
    }

    private func specialIDs(
      _ json: JSONValue, _ name: String, _ piecePlace: String, _ place: String
    ) throws(TokenizerError) -> [Int32] {
      guard let token = json.optional("special_tokens")?.optional(name) else {
        throw TokenizerError("\(piecePlace): \(quoted(name)) is not among special_tokens")
      }
      let tokenPlace = "\(place).special_tokens[\(quoted(name))]"
      var ids: [Int32] = []
      for value in try token.array("ids", at: tokenPlace) {
        ids.append(try value.tokenID(at: "\(tokenPlace).ids"))
      }
      return ids
    }
  }
}
