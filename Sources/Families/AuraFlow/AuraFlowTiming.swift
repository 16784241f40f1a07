import Tensors

extension AuraFlowTransformer {
  /// How long a step will take on this machine, judged by one layer at a small size.
  ///
  /// A layer's products take time in proportion to its tokens, attention to their square; each is
  /// measured once and scaled.
  ///
  /// - Parameters:
  ///   - contextTokens: tokens of each branch's context.
  ///   - height: latent rows.
  ///   - width: latent columns.
  ///   - pool: threads to compute on.
  /// - Returns: seconds.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the pool is cancelled.
  package func expectedSecondsPerStep(
    contextTokens: [Int], height: Int, width: Int, on pool: ThreadPool
  ) throws(ComputeError) -> Double {
    let tokens = contextTokens.map {
      $0 + height / configuration.patchSize * (width / configuration.patchSize)
    }
    let attention = try secondsPerTokenPair(on: pool)
    let products = try secondsPerToken(on: pool)
    let layers = Double(configuration.doubleLayerCount + configuration.singleLayerCount)
    return layers
      * tokens.reduce(0) { $0 + Double($1) * (products + attention * Double($1)) }
  }

  /// Tokens of the trial runs.
  private static let trialTokens = 288

  /// The products of one layer, for each token.
  private func secondsPerToken(on pool: ThreadPool) throws(ComputeError) -> Double {
    guard let layer = weights.singleLayers.first ?? weights.doubleLayers.first?.image else {
      return 0
    }
    let rows = Self.trialTokens
    let narrow = try Matrix(rows: rows, columns: configuration.hiddenSize)
    let wide = try Matrix(rows: rows, columns: configuration.feedForwardWidth)
    narrow.fill(0.5)
    wide.fill(0.5)
    func pass() throws(ComputeError) {
      let result = try Matrix(rows: rows, columns: configuration.hiddenSize)
      let inner = try Matrix(rows: rows, columns: configuration.feedForwardWidth)
      for weight in [layer.q, layer.k, layer.v, layer.o] {
        try multiply(narrow, by: weight, into: result, on: pool)
      }
      for weight in [layer.gate, layer.up] {
        try multiply(narrow, by: weight, into: inner, on: pool)
      }
      try multiply(wide, by: layer.down, into: result, on: pool)
    }
    return try Self.fastest(pass) / Double(rows)
  }

  /// Attention of all heads, for each pair of tokens.
  private func secondsPerTokenPair(on pool: ThreadPool) throws(ComputeError) -> Double {
    let rows = Self.trialTokens
    let x = try Matrix(rows: rows, columns: configuration.hiddenSize)
    let result = try Matrix(rows: rows, columns: configuration.hiddenSize)
    x.fill(0.01)
    let seconds = try Self.fastest { () throws(ComputeError) in
      try attend(
        x, x, x, sequences: [AttentionSequence(ranges: [0..<rows])],
        headDimension: configuration.headDimension, scale: 1, into: result, on: pool)
    }
    return seconds / Double(rows * rows)
  }

  /// The best of three runs after a first one that reads the weights.
  private static func fastest(_ body: () throws(ComputeError) -> Void) throws(ComputeError)
    -> Double
  {
    var best = Double.infinity
    for repetition in 0..<4 {
      let start = ContinuousClock.now
      try body()
      if repetition > 0 { best = min(best, (ContinuousClock.now - start) / .seconds(1)) }
    }
    return best
  }
}
