import StrictJSON

/// A token that is found in the text itself, before the model sees it.
struct AddedToken: Sendable {
  let content: [UInt8]
  /// Whether it counts only where no word character touches it.
  var isSingleWord = false
  /// Whether it swallows the whitespace on its left, or its right.
  var stripsLeft = false
  var stripsRight = false
  /// Whether it is looked for in normalized text, in its own normalized form.
  var isNormalized = false
  /// Whether it is a control token rather than additional vocabulary.
  var isSpecial = true

  /// A special token known only by its text.
  init(special content: String) {
    self.content = Array(content.utf8)
  }

  /// Reads the description of a token, as in tokenizer.json and tokenizer_config.json.
  init(json: JSONValue, at place: String) throws(TokenizerError) {
    content = Array(try json.string("content", at: place).utf8)
    isSingleWord = try json.optionalBool("single_word", at: place) ?? false
    stripsLeft = try json.optionalBool("lstrip", at: place) ?? false
    stripsRight = try json.optionalBool("rstrip", at: place) ?? false
    isSpecial = try json.optionalBool("special", at: place) ?? false
    isNormalized = try json.optionalBool("normalized", at: place) ?? !isSpecial
  }

  /// The description of the token in a tokenizer.json.
  func json(id: JSONValue) -> JSONValue {
    [
      "id": id, "content": .string(String(decoding: content, as: UTF8.self)),
      "single_word": .bool(isSingleWord), "lstrip": .bool(stripsLeft),
      "rstrip": .bool(stripsRight), "normalized": .bool(isNormalized),
      "special": .bool(isSpecial),
    ]
  }

  /// The added tokens of a tokenizer.json with the ids they are listed under.
  static func list(
    tokenizerJSON: JSONValue
  ) throws(TokenizerError) -> [(listedID: Int32, token: AddedToken)] {
    var tokens: [(listedID: Int32, token: AddedToken)] = []
    var seen: Set<Int32> = []
    let list = try tokenizerJSON.optionalArray("added_tokens", at: "tokenizer") ?? []
    for (index, value) in list.enumerated() {
      let place = "added_tokens[\(index)]"
      guard let idValue = value.optional("id") else {
        throw TokenizerError("\(place).id: expected an id, found nothing")
      }
      let id = try idValue.tokenID(at: "\(place).id")
      guard seen.insert(id).inserted else {
        throw TokenizerError("\(place).id: the id \(id) belongs to another added token already")
      }
      tokens.append((id, try AddedToken(json: value, at: place)))
    }
    return tokens
  }
}
