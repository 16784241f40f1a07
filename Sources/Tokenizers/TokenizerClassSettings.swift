import StrictJSON

/// A class of transformers, version 5, that builds its own pipeline from a tokenizer folder.
///
/// It takes only vocabulary, merges and added tokens from tokenizer.json: the other sections of the
/// file are dropped, and class and tokenizer_config.json decide in their place.
package enum TokenizerClass: Sendable {
  /// A byte-pair encoding of SentencePiece, which keeps the post-processor of the file.
  case llama
  /// A unigram model, which keeps the map of characters.
  case t5
  /// A byte-level byte-pair encoding of lower-case words.
  case clip

  /// The class of this name, with or without "Fast"; nil for those that take a file as it is.
  package init?(named name: String) {
    switch name {
    case "LlamaTokenizer", "LlamaTokenizerFast": self = .llama
    case "T5Tokenizer", "T5TokenizerFast": self = .t5
    case "CLIPTokenizer", "CLIPTokenizerFast": self = .clip
    default: return nil
    }
  }

  /// The `model.type` that it can use.
  var modelType: String { self == .t5 ? "Unigram" : "BPE" }

  /// The tokens with a role that it has without being told.
  fileprivate var defaultTokens: [String: String] {
    switch self {
    case .llama: ["bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"]
    case .t5: ["eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"]
    case .clip:
      [
        "bos_token": CLIPVocabulary.start, "eos_token": CLIPVocabulary.end,
        "unk_token": CLIPVocabulary.end, "pad_token": CLIPVocabulary.end,
      ]
    }
  }
}

/// What a class of transformers makes of a tokenizer folder.
package struct TokenizerClassSettings: Sendable {
  let tokenizerClass: TokenizerClass
  /// Where `▁` is put in front of the text.
  let prependScheme: PreTokenizer.PrependScheme
  /// The tokens that replace the added tokens of tokenizer.json; nil keeps those.
  let configuredTokens: [AddedToken]?
  /// Tokens with a role, which are added unless they are among the others already.
  let namedTokens: [AddedToken]
  /// Texts of the tokens with a role, by `bos_token` and so on.
  let roles: [String: String]
  /// Whether special tokens typed literally are treated as ordinary text.
  let leavesSpecial: Bool
  /// Whether too long text loses its start rather than its end; nil if not stated.
  let keepsEnd: Bool?

  private static let usualRoles = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  /// Derives the settings from the files that accompany tokenizer.json.
  ///
  /// - Parameters:
  ///   - tokenizerClass: the class.
  ///   - tokenizerConfig: tokenizer_config.json; nil if the folder has none.
  ///   - specialTokensMap: special_tokens_map.json of older folders; it counts only if
  ///     tokenizer_config.json does not list `added_tokens_decoder`.
  /// - Throws: ``TokenizerError`` if a member has a wrong type.
  package init(
    _ tokenizerClass: TokenizerClass, tokenizerConfig: JSONValue?,
    specialTokensMap: JSONValue? = nil
  ) throws(TokenizerError) {
    let place = "tokenizer_config"
    self.tokenizerClass = tokenizerClass
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
    var named = try Self.readNamedTokens(tokenizerClass, config, map, place)
    if tokenizerClass == .t5 {
      named.others += try Self.sentinels(config, listed: named.others, place)
    }
    namedTokens = named.roles.map(\.token) + named.others
    roles = Dictionary(
      named.roles.map { ($0.name, String(decoding: $0.token.content, as: UTF8.self)) },
      uniquingKeysWith: { $1 })
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

  private typealias NamedTokens = (
    roles: [(name: String, token: AddedToken)], others: [AddedToken]
  )

  private static func readNamedTokens(
    _ tokenizerClass: TokenizerClass, _ config: JSONValue, _ map: JSONValue?, _ place: String
  ) throws(TokenizerError) -> NamedTokens {
    var byRole = tokenizerClass.defaultTokens.mapValues { AddedToken(special: $0) }
    // Roles that only some models have come after the usual ones.
    var otherRoles: [String] = []
    var seenRoles = Set(usualRoles)
    for (source, sourcePlace) in [(config, place), (map ?? .null, "special_tokens_map")] {
      for member in source.members ?? [] where member.key.hasSuffix("_token") {
        let isUsual = usualRoles.contains(member.key)
        if case .bool = member.value { continue }
        if member.value.isNull {
          if isUsual { byRole[member.key] = nil }
          continue
        }
        if seenRoles.insert(member.key).inserted { otherRoles.append(member.key) }
        byRole[member.key] = try readToken(member.value, "\(sourcePlace).\(member.key)")
      }
    }
    var others: [AddedToken] = []
    for (source, sourcePlace) in [(config, place), (map ?? .null, "special_tokens_map")] {
      let key =
        source.optional("extra_special_tokens") == nil
        ? "additional_special_tokens" : "extra_special_tokens"
      guard let value = source.optional(key) else { continue }
      let values = value.arrayValue ?? value.members?.map(\.value) ?? [value]
      for value in values { others.append(try readToken(value, "\(sourcePlace).\(key)")) }
    }
    let roles = (usualRoles + otherRoles).compactMap { role in byRole[role].map { (role, $0) } }
    return (roles, others)
  }

  /// The tokens `<extra_id_0>` and so on, unless some are listed.
  private static func sentinels(
    _ config: JSONValue, listed: [AddedToken], _ place: String
  ) throws(TokenizerError) -> [AddedToken] {
    let prefix = "<extra_id_".utf8
    guard !listed.contains(where: { $0.content.starts(with: prefix) }) else { return [] }
    let count = config.optional("extra_ids")?.integerValue ?? 100
    guard (0...TokenizerLimits.sentinelTokens).contains(count) else {
      throw TokenizerError(
        "\(place).extra_ids: expected 0 to \(TokenizerLimits.sentinelTokens), found \(count)")
    }
    return (0..<count).map { AddedToken(special: "<extra_id_\($0)>") }
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
