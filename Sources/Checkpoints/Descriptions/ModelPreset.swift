import ModelFiles

/// A model that can be synthesized with random weights: the sizes of its networks.
package struct ModelPreset: Sendable {
  /// One of its networks.
  package struct Part: Sendable {
    package let slot: Slot
    package let network: NetworkDescription
    /// What its files say about it.
    package let facts: NetworkFacts
    /// Asks for every tensor, in the order of files.
    private let open: @Sendable (RequestedWeights) throws(ModelFileError) -> Void

    /// - Parameters:
    ///   - slot: the place in the family; its first network is synthesized.
    ///   - network: the network.
    ///   - facts: what its files say about it.
    ///   - open: opens the network with the preset's sizes.
    package init(
      _ slot: Slot, _ network: NetworkDescription, _ facts: NetworkFacts,
      open: @escaping @Sendable (RequestedWeights) throws(ModelFileError) -> Void
    ) {
      self.slot = slot
      self.network = network
      self.facts = facts
      self.open = open
    }

    /// The tensors that the network asks for.
    package func requests() throws(ModelFileError) -> [WeightRequest] {
      let weights = RequestedWeights()
      try open(weights)
      return weights.requests
    }

    /// Numbers in all tensors.
    package func parameterCount() throws(ModelFileError) -> Int {
      try requests().reduce(0) { $0 + $1.shape.reduce(1, *) }
    }
  }

  package let name: String
  package let defaults: SamplingDefaults
  /// Pieces of a tokenizer of SentencePiece's; CLIP's has as many ids as its encoder.
  package let pieceCount: Int
  /// In the order of the family's slots.
  package let parts: [Part]

  package init(name: String, defaults: SamplingDefaults, pieceCount: Int, parts: [Part]) {
    self.name = name
    self.defaults = defaults
    self.pieceCount = pieceCount
    self.parts = parts
  }
}
