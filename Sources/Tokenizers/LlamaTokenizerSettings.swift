import StrictJSON

/// What transformers' LlamaTokenizer makes of a tokenizer folder.
///
/// That class, version 5 of the library, builds its own pipeline and takes only vocabulary,
/// merges, added tokens and post-processor from tokenizer.json. Normalizer and pre-tokenizer of
/// the file are dropped, and tokenizer_config.json decides in their place.
package struct LlamaTokenizerSettings: Sendable {
  /// Where `▁` is put in front of the text.
  let prependScheme: PreTokenizer.PrependScheme
  /// The tokens that replace the added tokens of tokenizer.json; nil keeps those.
  let configuredTokens: [AddedToken]?
  /// Tokens with a role, which are added unless they are among the others already.
  let namedTokens: [AddedToken]
  /// Text of the end-of-sequence token.
  let endOfSequence: String?
  /// Whether special tokens typed literally are treated as ordinary text.
  let leavesSpecial: Bool
  /// Whether too long text loses its start rather than its end; nil if not stated.
  let keepsEnd: Bool?

  private static let roles = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  /// Derives the settings from the files that accompany tokenizer.json.
  ///
  /// - Parameters:
  ///   - tokenizerConfig: tokenizer_config.json; nil if the folder has none.
  ///   - specialTokensMap: special_tokens_map.json of older folders; it counts only if
  ///     tokenizer_config.json does not list `added_tokens_decoder`.
  /// - Throws: ``TokenizerError`` if a member has a wrong type.
  package init(
    tokenizerConfig: JSONValue?, specialTokensMap: JSONValue? = nil
  ) throws(TokenizerError) {
    let place = "tokenizer_config"
    let config = tokenizerConfig ?? .object([])
    guard config.members != nil else {
      throw TokenizerError("\(place): expected an object, found \(config.brief)")
    }
    let addsPrefix = try config.optionalBool("add_prefix_space", at: place) ?? true
    let isLegacy = try config.optionalBool("legacy", at: place) ?? false
    prependScheme = !addsPrefix ? .never : isLegacy ? .always : .first
    leavesSpecial = try config.optionalBool("split_special_tokens", at: place) ?? false
    switch try config.optionalString("truncation_side", at: place) {
    case nil: keepsEnd = nil
    case "right"?: keepsEnd = false
    case "left"?: keepsEnd = true
    case let side?:
      throw TokenizerError(
        "\(place).truncation_side: expected \"left\" or \"right\", found \(quoted(side))")
    }
    configuredTokens = try Self.readConfiguredTokens(config, place)
    let map = configuredTokens == nil ? specialTokensMap : nil
    (namedTokens, endOfSequence) = try Self.readNamedTokens(config, map, place)
  }

  /// All tokens to add, in the order in which they get ids.
  func addedTokens(tokenizerJSON: JSONValue) throws(TokenizerError) -> [AddedToken] {
    let listed: [AddedToken]
    if let configuredTokens {
      listed = configuredTokens
    } else {
      listed = try AddedToken.list(tokenizerJSON: tokenizerJSON)
        .sorted { $0.listedID < $1.listedID }.map(\.token)
    }
    let contents = Set(listed.map(\.content))
    return listed + namedTokens.filter { !contents.contains($0.content) }
  }

  private static func readConfiguredTokens(
    _ config: JSONValue, _ place: String
  ) throws(TokenizerError) -> [AddedToken]? {
    guard let value = config.optional("added_tokens_decoder") else { return nil }
    guard let members = value.members else {
      throw TokenizerError(
        "\(place).added_tokens_decoder: expected an object, found \(value.brief)")
    }
    var tokens: [(id: Int, token: AddedToken)] = []
    for member in members {
      let tokenPlace = "\(place).added_tokens_decoder[\(quoted(member.key))]"
      guard let id = Int(member.key), id >= 0, id <= Int(Int32.max) else {
        throw TokenizerError("\(tokenPlace): expected an id from 0 to \(Int32.max) as key")
      }
      tokens.append((id, try AddedToken(json: member.value, at: tokenPlace)))
    }
    return tokens.sorted { $0.id < $1.id }.map(\.token)
  }

  private static func readNamedTokens(
    _ config: JSONValue, _ map: JSONValue?, _ place: String
  ) throws(TokenizerError) -> (tokens: [AddedToken], endOfSequence: String?) {
    var byRole: [String: AddedToken] = [
      "bos_token": AddedToken(special: "<s>"), "eos_token": AddedToken(special: "</s>"),
      "unk_token": AddedToken(special: "<unk>"),
    ]
    // Roles that only some models have come after the usual ones.
    var otherRoles: [String] = []
    var seenRoles = Set(roles)
    for (source, sourcePlace) in [(config, place), (map ?? .null, "special_tokens_map")] {
      for member in source.members ?? [] where member.key.hasSuffix("_token") {
        let isUsual = roles.contains(member.key)
        if case .bool = member.value { continue }
        if member.value.isNull {
          if isUsual { byRole[member.key] = nil }
          continue
        }
        if seenRoles.insert(member.key).inserted { otherRoles.append(member.key) }
        byRole[member.key] = try readToken(member.value, "\(sourcePlace).\(member.key)")
      }
    }
    var tokens = (roles + otherRoles).compactMap { byRole[$0] }
    for (source, sourcePlace) in [(config, place), (map ?? .null, "special_tokens_map")] {
      let key =
        source.optional("extra_special_tokens") == nil
        ? "additional_special_tokens" : "extra_special_tokens"
      guard let value = source.optional(key) else { continue }
      let values = value.arrayValue ?? value.members?.map(\.value) ?? [value]
      for value in values { tokens.append(try readToken(value, "\(sourcePlace).\(key)")) }
    }
    return (tokens, byRole["eos_token"].map { String(decoding: $0.content, as: UTF8.self) })
  }

  private static func readToken(
    _ value: JSONValue, _ place: String
  ) throws(TokenizerError) -> AddedToken {
    if let content = value.stringValue { return AddedToken(special: content) }
    guard value.members != nil else {
      throw TokenizerError("\(place): expected a string or an object, found \(value.brief)")
    }
    return try AddedToken(json: value, at: place)
  }
}
