import Diffusion

extension Pipeline {
  /// What is known of the model's files and of requests before the work begins, and their user
  /// should know.
  ///
  /// - Parameter requests: all of a run, in order.
  /// - Returns: one line each.
  /// - Throws: `GenerationError.invalidRequest` for one that cannot be met.
  public func notes(on requests: [GenerationRequest]) throws(GenerationError) -> [String] {
    let pooled = pooledEncoder
    var cuts = ["prompt", "negative prompt"].flatMap { name in
      [Cuts(name, by: "max-sequence-length allows")]
        + (pooled.map { [Cuts(name, by: "\($0.name) reads", isWhole: false)] } ?? [])
    }
    var idle = Cuts("", by: "")
    var unguided = 0
    for (index, request) in requests.enumerated() {
      let settings = try settings(for: request)
      let length = settings.maxSequenceLength
      let dropped = droppedTokens(settings)
      let counts = [dropped.prompt, dropped.negativePrompt].flatMap { text in
        [(text.sequence, length)] + (pooled.map { [(text.pooled, $0.maximumLength)] } ?? [])
      }
      for (place, (count, length)) in counts.enumerated() {
        cuts[place].add(index, count, length)
      }
      let limits = settings.guidanceInterval != nil || settings.guidanceRescale > 0
      if !settings.usesGuidance, limits {
        unguided += 1
      } else if !settings.usesGuidance, !settings.negativePrompt.isEmpty, settings.embeds == nil {
        idle.add(index, 1, length)
      }
    }
    var notes = fileNotes
    let groups = try groupSizes(requests)
    if let most = groups.max(), most > 1 {
      let which = groups.count > 1 ? "up to \(most)" : "\(most)"
      notes.append("\(which) pictures are made together: weights are read again at each step")
    }
    notes += cuts.compactMap { $0.note(of: requests.count) }
    if idle.count > 0 {
      let whose = idle.count < requests.count ? " (\(idle.count) of \(requests.count) prompts)" : ""
      notes.append(
        "the negative prompt has no effect at a guidance scale of 1 or less\(whose)")
    }
    if unguided > 0 {
      notes.append(
        "guidance interval, rescale and negative prompt have no effect: the guidance scale is 1 or "
          + "less, or the interval holds no level")
    }
    return notes
  }

  /// Tokens of a request's texts that are cut off.
  ///
  /// - Throws: `GenerationError` for a request that cannot be met.
  package func droppedTokens(
    of request: GenerationRequest
  ) throws(GenerationError) -> DroppedTokens {
    droppedTokens(try settings(for: request))
  }

  /// Tokens that are cut off.
  private func droppedTokens(_ settings: GenerationSettings) -> DroppedTokens {
    func dropped<Model: DiffusionModel>(_ model: Model) -> DroppedTokens {
      PreparedRequest(model, settings).droppedTokens
    }
    return dropped(model)
  }

  /// How many pictures go through the steps together, group by group.
  ///
  /// - Parameter requests: all of a run, in order.
  /// - Returns: a number for each group.
  /// - Throws: `GenerationError` for a request that cannot be met.
  public func groupSizes(_ requests: [GenerationRequest]) throws(GenerationError) -> [Int] {
    try groupSizes(requests, limit: memory.limit)
  }

  /// The same within a number of bytes; nil for no limit.
  package func groupSizes(
    _ requests: [GenerationRequest], limit: Int?
  ) throws(GenerationError) -> [Int] {
    let left = limit.map { max(0, $0 - Self.bytes(of: requests)) }
    func sizes<Model: DiffusionModel>(_ model: Model) throws(GenerationError) -> [Int] {
      var sizes: [Int] = []
      for slice in Self.slices(of: requests) {
        let prepared = try runRequests(model, slice).requests
        sizes += try chunks(prepared, limit: left)
          .flatMap(\.batches).flatMap { $0.groups.map(\.count) }
      }
      return sizes
    }
    return requests.isEmpty ? [] : try sizes(model)
  }

  private var pooledEncoder: (name: String, maximumLength: Int)? {
    func found<Model: DiffusionModel>(_ model: Model) -> (name: String, maximumLength: Int)? {
      model.conditioner.pooledEncoder
    }
    return found(model)
  }
}

/// Texts of a run that are longer than what counts.
private struct Cuts {
  private let name: String
  /// What sets the length.
  private let reason: String
  /// Whether nothing else reads what is cut off.
  private let isWhole: Bool
  private(set) var count = 0
  private var first = (index: 0, dropped: 0, length: 0)

  init(_ name: String, by reason: String, isWhole: Bool = true) {
    self.name = name
    self.reason = reason
    self.isWhole = isWhole
  }

  mutating func add(_ index: Int, _ dropped: Int, _ length: Int) {
    guard dropped > 0 else { return }
    if count == 0 { first = (index, dropped, length) }
    count += 1
  }

  /// A line, if there are any.
  func note(of total: Int) -> String? {
    guard count > 0 else { return nil }
    let what = "\(first.dropped) of its tokens are beyond the \(first.length) that \(reason)"
    let cut = isWhole ? "cut" : "cut in part"
    return total == 1
      ? "the \(name) is \(cut): \(what)"
      : "\(count) of \(total) \(name)s are \(cut); the first is number \(first.index + 1): \(what)"
  }
}
