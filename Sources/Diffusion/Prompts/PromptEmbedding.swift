import Compute

/// What the text encoders of a family make of a text.
package struct EmbeddingLayout: Sendable, Equatable {
  /// How texts of different lengths become equally long.
  package enum Padding: Sendable {
    /// Rows of zeros follow those of the text. How many of them there are counts, their content
    /// does not depend on the text.
    case masked
    /// Padding is encoded with the text, and every row counts: what other lengths would give cannot
    /// be told from the rows.
    case encoded
  }

  /// Elements of each token's row.
  package let width: Int
  /// Elements of the vector of the whole text; nil in families that have none.
  package let pooledWidth: Int?
  package let padding: Padding

  package init(width: Int, pooledWidth: Int? = nil, padding: Padding) {
    self.width = width
    self.pooledWidth = pooledWidth
    self.padding = padding
  }
}

/// What the text encoders made of a text, apart from devices: to be kept, stored and mixed.
package struct PromptEmbedding: Sendable, Equatable {
  /// `[tokens, width]`, row-major, without masked padding.
  package let states: [Float]
  /// Elements of a row.
  package let width: Int
  /// Rows, with masked padding; at least as many as tokens.
  package let paddedCount: Int
  /// The vector of the whole text; nil in families that have none.
  package let pooled: [Float]?

  /// Rows that count.
  package var tokenCount: Int { width > 0 ? states.count / width : 0 }

  package init(states: [Float], width: Int, paddedCount: Int, pooled: [Float]?) {
    self.states = states
    self.width = width
    self.paddedCount = paddedCount
    self.pooled = pooled
  }

  /// Whether no value is NaN or infinite.
  package var isFinite: Bool {
    states.allSatisfy(\.isFinite) && (pooled?.allSatisfy(\.isFinite) ?? true)
  }

  /// Why a family cannot take it; nil if it can.
  package func fault(for layout: EmbeddingLayout) -> String? {
    guard width == layout.width else {
      return "rows of \(width) elements, expected \(layout.width)"
    }
    switch (pooled?.count, layout.pooledWidth) {
    case (nil, let wanted?): return "no vector of the whole prompt, expected one of \(wanted)"
    case (let found?, let wanted) where found != wanted:
      return "a vector of the whole prompt of \(found) elements, expected "
        + (wanted.map { "\($0)" } ?? "none")
    default: break
    }
    guard tokenCount > 0, paddedCount >= tokenCount else {
      return "no row of a token, expected at least one"
    }
    guard layout.padding == .masked || paddedCount == tokenCount else {
      return "a mask that leaves out \(paddedCount - tokenCount) of \(paddedCount) rows, expected "
        + "all of them to count"
    }
    return nil
  }

  /// A mixture of two texts of one family, as PyTorch's `lerp` mixes what encoders make of them.
  ///
  /// Rows beyond a text's own are zeros, as its family pads it, or there are none.
  ///
  /// - Parameters:
  ///   - other: what the mixture goes towards.
  ///   - share: how far: 0 is this one, 1 the other, bit for bit.
  /// - Returns: the mixture.
  package func blended(with other: PromptEmbedding, share: Float) -> PromptEmbedding {
    guard share > 0 else { return self }
    guard share < 1 else { return other }
    return PromptEmbedding(
      states: Self.mixed(states, other.states, share), width: width,
      paddedCount: max(paddedCount, other.paddedCount),
      pooled: pooled.map { Self.mixed($0, other.pooled ?? [], share) })
  }

  private static func mixed(_ first: [Float], _ second: [Float], _ share: Float) -> [Float] {
    (0..<max(first.count, second.count)).map { index in
      let start = index < first.count ? first[index] : 0
      let end = index < second.count ? second[index] : 0
      // Of two forms the one that is exact at the nearer end.
      return share < 0.5 ? start + share * (end - start) : end - (end - start) * (1 - share)
    }
  }
}

/// What the text encoders made of a text, in the memory of a device.
package struct EncodedPrompt: Sendable {
  /// `[tokens, width]`, without masked padding.
  package let states: Matrix
  /// Rows, with masked padding.
  package let paddedCount: Int
  /// `[1, pooledWidth]`: the vector of the whole text; nil in families that have none.
  package let pooled: Matrix?

  package init(states: Matrix, paddedCount: Int, pooled: Matrix? = nil) {
    self.states = states
    self.paddedCount = paddedCount
    self.pooled = pooled
  }

  /// The same in the memory of a device.
  ///
  /// - Throws: `ComputeError` if memory runs out.
  package init(
    _ embedding: PromptEmbedding, on device: any ComputeDevice
  ) throws(ComputeError) {
    states = try device.matrix(
      embedding.states, rows: embedding.tokenCount, columns: embedding.width)
    paddedCount = embedding.paddedCount
    pooled = try embedding.pooled.map { vector throws(ComputeError) in
      try device.matrix(vector, rows: 1, columns: vector.count)
    }
  }

  /// The same apart from the device.
  ///
  /// - Throws: `ComputeError` if it cannot be read.
  package func embedding(on device: any ComputeDevice) throws(ComputeError) -> PromptEmbedding {
    PromptEmbedding(
      states: try device.read(states), width: states.columns, paddedCount: paddedCount,
      pooled: try pooled.map { vector throws(ComputeError) in try device.read(vector) })
  }
}
