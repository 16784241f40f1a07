/// Pieces, scores and settings of a SentencePiece model.
struct SentencePieceVocabulary {
  /// How pieces are chosen; the numbers are those of the file format.
  enum Model: UInt64, Sendable {
    /// The most probable sequence of pieces.
    case unigram = 1
    /// Merges of neighbours, the best first.
    case bytePair
  }

  /// What a piece is for; the numbers are those of the file formats.
  enum Kind: UInt64, Sendable {
    case normal = 1
    case unknown
    case control
    case userDefined
    case unused
    case byte
  }

  struct Piece {
    var text: ArraySlice<UInt8> = []
    var score: Float = 0
    var kind = Kind.normal
  }

  var model = Model.unigram
  var pieces: [Piece] = []
  /// `precompiled_charsmap`; empty if characters stay as they are.
  var characterMap: [UInt8] = []
  var fallsBackToBytes = false
  /// Whether `▁` is put in front of the text.
  var addsDummyPrefix = true
  /// Whether it is put behind the text instead.
  var hasSpaceAsSuffix = false
  /// Whether spaces at both ends and repeated spaces are dropped.
  var removesExtraSpaces = true
  /// Whether spaces become `▁`.
  var escapesSpaces = true
  var endOfSequence = Array("</s>".utf8)
  var padding = Array("<pad>".utf8)

  /// A vocabulary without pieces and with the default settings of the format.
  init() {}

  /// Reads a `ModelProto` message, the content of a tokenizer.model or spiece.model.
  init(modelFile: [UInt8]) throws(TokenizerError) {
    var modelType = Model.unigram.rawValue
    var reader = ProtobufReader(modelFile[...])
    while let field = try reader.nextField() {
      switch field.number {
      case 1: pieces.append(try Self.readPiece(field.value, index: pieces.count))
      case 2: try readTrainer(try field.value.bytes("trainer_spec"), &modelType)
      case 3: try readNormalizer(try field.value.bytes("normalizer_spec"))
      default: break
      }
    }
    guard let model = Model(rawValue: modelType) else {
      let names: [UInt64: String] = [3: "word", 4: "char"]
      throw .unsupported(
        "a SentencePiece model of type \(names[modelType] ?? "\(modelType)") "
          + "(only unigram and bpe are)", at: "trainer_spec.model_type")
    }
    self.model = model
  }

  private static func readPiece(
    _ value: ProtobufReader.Value, index: Int
  ) throws(TokenizerError) -> Piece {
    // Made only for an error: a vocabulary has tens of thousands of pieces.
    var place: String { "pieces[\(index)]" }
    var piece = Piece()
    var reader = ProtobufReader(try value.bytes(place))
    while let field = try reader.nextField() {
      switch field.number {
      case 1: piece.text = try field.value.bytes("\(place).piece")
      case 2: piece.score = try field.value.float("\(place).score")
      case 3:
        let number = try field.value.varint("\(place).type")
        guard let kind = Kind(rawValue: number) else {
          throw TokenizerError("\(place).type: expected 1 to 6, found \(number)")
        }
        piece.kind = kind
      default: break
      }
    }
    return piece
  }

  private mutating func readTrainer(
    _ message: ArraySlice<UInt8>, _ modelType: inout UInt64
  ) throws(TokenizerError) {
    var reader = ProtobufReader(message)
    while let field = try reader.nextField() {
      switch field.number {
      case 3: modelType = try field.value.varint("trainer_spec.model_type")
      case 24: hasSpaceAsSuffix = try field.value.bool("treat_whitespace_as_suffix")
      case 35: fallsBackToBytes = try field.value.bool("trainer_spec.byte_fallback")
      case 47: endOfSequence = Array(try field.value.bytes("trainer_spec.eos_piece"))
      case 48: padding = Array(try field.value.bytes("trainer_spec.pad_piece"))
      default: break
      }
    }
  }

  private mutating func readNormalizer(_ message: ArraySlice<UInt8>) throws(TokenizerError) {
    var reader = ProtobufReader(message)
    while let field = try reader.nextField() {
      switch field.number {
      case 2: characterMap = Array(try field.value.bytes("normalizer_spec.precompiled_charsmap"))
      case 3: addsDummyPrefix = try field.value.bool("normalizer_spec.add_dummy_prefix")
      case 4: removesExtraSpaces = try field.value.bool("remove_extra_whitespaces")
      case 5: escapesSpaces = try field.value.bool("normalizer_spec.escape_whitespaces")
      default: break
      }
    }
  }
}
