import Compute
import Diffusion

/// What a model's text encoders made of a prompt, and of a negative prompt: all that the denoiser
/// needs of them. Made by `Pipeline.embeds(of:)`, taken by requests of any model of the family
/// whose text encoders are the same.
public struct PromptEmbeds: Sendable, Equatable {
  /// The prompt's text; nil if it is not known.
  public var prompt: String?
  /// The negative prompt's text; nil if it is not known or did not take part.
  public var negativePrompt: String?
  /// How parentheses in both were read.
  public var promptWeights = PromptWeighting.off
  /// The model's family; nil if it is not known.
  public let family: String?
  /// The file that it comes from, for messages; nil if it comes from none.
  package var path: String?
  /// What encoders made of the prompt.
  package let encodedPrompt: PromptEmbedding
  /// What they made of the negative prompt; nil if it did not take part.
  package let encodedNegativePrompt: PromptEmbedding?

  package init(
    _ prompt: PromptEmbedding, negative: PromptEmbedding?, family: String?
  ) {
    encodedPrompt = prompt
    encodedNegativePrompt = negative
    self.family = family
  }

  /// Rows of the prompt, with those of padding that is masked.
  public var tokenCount: Int { encodedPrompt.paddedCount }
  /// Bytes of all values.
  var byteCount: Int {
    [encodedPrompt, encodedNegativePrompt].compactMap(\.self).reduce(0) {
      $0 + 4 * ($1.states.count + ($1.pooled?.count ?? 0))
    }
  }
  /// Whether there is what guidance needs.
  public var hasNegativePrompt: Bool { encodedNegativePrompt != nil }

  /// The one of a branch of guidance.
  func encoded(isNegative: Bool) -> PromptEmbedding? {
    isNegative ? encodedNegativePrompt : encodedPrompt
  }

  /// What it is called in messages.
  fileprivate var name: String { path.map { "the embeds of \($0)" } ?? "the embeds" }
}

/// A step from a request's own prompt towards another one.
public struct EmbedsBlend: Sendable, Equatable {
  /// What the text encoders made of the other prompt, and of its negative prompt.
  public var embeds: PromptEmbeds
  /// How far to go, in a straight line: 0 is the request's own prompt, 1 the other one.
  public var share: Double

  /// - Parameters:
  ///   - embeds: the other prompt.
  ///   - share: how far to go, 0 to 1.
  public init(_ embeds: PromptEmbeds, share: Double) {
    self.embeds = embeds
    self.share = share
  }
}

extension Pipeline {
  /// Checks that a request's encoded prompts are of this model, and that there are texts or
  /// something instead of them.
  ///
  /// - Parameters:
  ///   - request: the request.
  ///   - usesGuidance: whether the negative prompt takes part.
  ///   - length: most tokens of a prompt.
  /// - Throws: `GenerationError.invalidRequest`.
  func checkEmbeds(
    _ request: GenerationRequest, usesGuidance: Bool, length: Int
  ) throws(GenerationError) {
    func facts<Model: DiffusionModel>(_ model: Model) -> (EmbeddingLayout, Bool) {
      (model.conditioner.embeddingLayout, model.conditioner.hasEncoders)
    }
    let (layout, hasEncoders) = facts(model)
    if let embeds = request.embeds { try check(embeds, layout, usesGuidance: usesGuidance) }
    let own = request.embeds?.encodedPrompt.paddedCount ?? length
    if let blend = request.embedsBlend {
      guard blend.share >= 0, blend.share <= 1 else {
        throw .invalidRequest(
          "the share \(blend.share) of \(blend.embeds.name) is outside of 0...1")
      }
      try check(blend.embeds, layout, usesGuidance: usesGuidance)
      let other = blend.embeds.encodedPrompt.paddedCount
      guard layout.padding == .masked || own == other else {
        throw .invalidRequest(
          "\(blend.embeds.name) have \(other) rows, this request has \(own): "
            + "\(familyName) reads padding too, so that only prompts of one length can be blended"
            + (request.embeds == nil ? " (--max-sequence-length \(other))" : ""))
      }
    }
    guard hasEncoders || request.embeds != nil || request.embedsBlend?.share == 1 else {
      throw .invalidRequest(
        "the model was opened without text encoders: prompts have to come as embeds")
    }
  }

  private func check(
    _ embeds: PromptEmbeds, _ layout: EmbeddingLayout, usesGuidance: Bool
  ) throws(GenerationError) {
    if let family = embeds.family, family != familyName {
      throw .invalidRequest(
        "\(embeds.name) were made by text encoders of \(family), this model is of \(familyName)")
    }
    let encoded =
      [("prompt", embeds.encodedPrompt)]
      + (embeds.encodedNegativePrompt.map { [("negative prompt", $0)] } ?? [])
    for (text, embedding) in encoded {
      if let fault = embedding.fault(for: layout) {
        throw .invalidRequest(
          "\(embeds.name) do not fit this model's text encoders: of the \(text) there is \(fault)")
      }
      guard embedding.isFinite else {
        throw .invalidRequest("\(embeds.name) hold NaN or infinite values in the \(text)")
      }
    }
    if let negative = embeds.encodedNegativePrompt, layout.padding == .encoded,
      negative.paddedCount != embeds.encodedPrompt.paddedCount
    {
      throw .invalidRequest(
        "\(embeds.name) have \(embeds.encodedPrompt.paddedCount) rows of the prompt and "
          + "\(negative.paddedCount) of the negative prompt: both have to be as long")
    }
    guard !usesGuidance || embeds.hasNegativePrompt else {
      throw .invalidRequest(
        "\(embeds.name) hold no negative prompt, which guidance needs: save them with a guidance "
          + "scale above 1, or pass --guidance-scale 1")
    }
  }

  /// Encodes a request's prompt, and its negative prompt if guidance needs it, with what is blended
  /// into them: what its pictures are conditioned on.
  ///
  /// - Parameter request: what would be generated.
  /// - Returns: what the text encoders make of it.
  /// - Throws: `GenerationError` for a request that cannot be met, too little memory or cancelled
  ///   work.
  public func embeds(of request: GenerationRequest) async throws(GenerationError) -> PromptEmbeds {
    let settings = try settings(for: request)
    return try await turn { (device) throws(GenerationError) in
      func encoded<Model: DiffusionModel>(
        _ model: Model
      ) throws(GenerationError) -> [PromptEmbedding] {
        try self.encoded(PreparedRequest(model, settings), on: device)
      }
      let embeddings = try encoded(self.model)
      guard let prompt = embeddings.last else { throw .cancelled }
      var embeds = PromptEmbeds(
        prompt, negative: embeddings.count > 1 ? embeddings[0] : nil, family: self.familyName)
      embeds.prompt = settings.prompt
      embeds.negativePrompt = embeddings.count > 1 ? settings.negativePrompt : nil
      embeds.promptWeights = settings.promptWeights
      return embeds
    }
  }

  private func encoded<Model>(
    _ request: PreparedRequest<Model>, on device: any ComputeDevice
  ) throws(GenerationError) -> [PromptEmbedding] {
    let plan = memoryPlan(for: request, limit: memory.limit)
    try expectFit(plan, request)
    // A picture's encoder, where there is one, comes before them.
    let planned = plan.stages.dropFirst(request.startsFromPicture ? 1 : 0)
    for (stage, planned) in zip(request.textStages, planned) {
      stage.weights.keep(atMost: planned.keptBytes)
    }
    // Later requests that take the embeds do not count them.
    defer { for stage in request.textStages { stage.weights.drop() } }
    return try computing { () throws(ComputeError) in
      var embeddings: [PromptEmbedding] = []
      for encoded in try request.model.conditioner.encoded(request.tokens, on: device) {
        embeddings.append(try encoded.embedding(on: device))
      }
      return embeddings
    }
  }
}

extension PreparedRequest {
  /// Where each branch's conditioning comes from, the unconditional one first, as in the reference.
  static func prompts(
    _ model: Model, _ settings: GenerationSettings
  ) -> [PreparedPrompt<Model>] {
    let texts =
      (settings.usesGuidance ? [(settings.negativePrompt, true)] : [])
      + [(settings.prompt, false)]
    return texts.map { text, isNegative in
      // Settings were checked: there is a negative prompt where one takes part.
      let blend = settings.embedsBlend.flatMap { blend in
        blend.embeds.encoded(isNegative: isNegative).map { ($0, Float(blend.share)) }
      }
      return PreparedPrompt(
        key: PromptIdentity(text, isNegative: isNegative, of: settings),
        tokens: PromptSource(
          origin(of: text, isNegative: isNegative, model, settings), blend: blend))
    }
  }

  private static func origin(
    of text: String, isNegative: Bool, _ model: Model, _ settings: GenerationSettings
  ) -> PromptSource<Model.Text.Tokens>.Origin {
    if let embedding = settings.embeds?.encoded(isNegative: isNegative) {
      return .embedding(embedding)
    }
    // Whatever cannot be read was refused.
    let prompt = (try? WeightedPrompt(text, settings.promptWeights)) ?? WeightedPrompt(text)
    return .tokens(
      model.conditioner.tokens(of: prompt, maximumLength: settings.maxSequenceLength))
  }

  /// What is read to encode the texts; nothing where there are none.
  var textStages: [WeightStage] {
    tokens.contains { $0.tokens != nil } ? model.conditioner.stages : []
  }

  /// All stages in the order of a run, but for a picture's encoder.
  var stages: [WeightStage] {
    textStages + model.denoiser.scheduleStages + [model.denoiser.stepStage, model.decoderStage]
  }
}
