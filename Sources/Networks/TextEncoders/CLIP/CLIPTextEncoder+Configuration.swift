import Checkpoints
import ModelFiles

extension CLIPTextEncoder.Configuration {
  /// Reads the sizes.
  ///
  /// - Throws: `ModelFileError` if the tensors or the configuration do not describe a usable
  ///   encoder.
  init(_ source: PartSource) throws(ModelFileError) {
    let weights = source.weights
    try source.requireConfigured("hidden_act", only: "quick_gelu")
    let embeddings = "text_model.embeddings"
    let layers = "text_model.encoder.layers."
    let found = weights.layerCount(layers)
    let layerCount = try source.configured("num_hidden_layers", in: 1...1024) ?? found
    guard (1...1024).contains(layerCount) else {
      throw weights.malformed("the text encoder has \(layerCount) layers, expected 1...1024")
    }
    /// One dimension of a tensor of every layer.
    func votes(_ name: String, _ index: Int, rank: Int) -> [Int?] {
      (0..<layerCount).map { weights.dimension("\(layers)\($0).\(name)", index, rank: rank) }
    }
    func required(
      _ size: Int?, _ name: String, _ expected: String
    ) throws(ModelFileError) -> Int {
      guard let size else { throw weights.unfit(name, expected: expected) }
      return size
    }
    let storedWidth = try source.configured("hidden_size", in: 1...1 << 20)
    width = try required(
      storedWidth
        ?? mostCommon(
          ["layer_norm1.weight", "layer_norm2.weight", "self_attn.out_proj.bias", "mlp.fc2.bias"]
            .flatMap { votes($0, 0, rank: 1) }),
      "\(layers)0.layer_norm1.weight", "[width]")
    let storedInner = try source.configured("intermediate_size", in: 1...1 << 20)
    feedForwardWidth = try required(
      storedInner
        ?? mostCommon(
          votes("mlp.fc1.bias", 0, rank: 1) + votes("mlp.fc1.weight", 0, rank: 2)
            + votes("mlp.fc2.weight", 1, rank: 2)),
      "\(layers)0.mlp.fc1.weight", "[feed-forward width, \(width)]")
    let storedVocabulary = try source.configured("vocab_size", in: 1...1 << 24)
    vocabularySize = try required(
      storedVocabulary ?? weights.dimension("\(embeddings).token_embedding.weight", 0, rank: 2),
      "\(embeddings).token_embedding.weight", "[vocabulary, \(width)]")
    let storedPositions = try source.configured("max_position_embeddings", in: 1...65_536)
    positionCount = try required(
      storedPositions ?? weights.dimension("\(embeddings).position_embedding.weight", 0, rank: 2),
      "\(embeddings).position_embedding.weight", "[positions, \(width)]")
    self.layerCount = layerCount
    headDimension = try Self.headDimension(source, width: width)
    epsilon = Float(try source.value(CLIPTextEncoder.epsilon, in: 0...1))
  }

  /// Elements of a head: the configuration file has the number of heads instead.
  private static func headDimension(
    _ source: PartSource, width: Int
  ) throws(ModelFileError) -> Int {
    let heads = try source.configured("num_attention_heads", in: 1...65_536)
    let dimension: Int
    if let heads, width % heads == 0 {
      dimension = width / heads
    } else {
      dimension = try source.integer(CLIPTextEncoder.headDimension, in: 1...65_536)
    }
    guard heads.map({ width % $0 == 0 }) ?? true, width % dimension == 0 else {
      throw source.weights.malformed(
        "the text encoder's width \(width) cannot be divided into "
          + (heads.map { "\($0) heads" } ?? "heads of \(dimension)"))
    }
    return dimension
  }
}
