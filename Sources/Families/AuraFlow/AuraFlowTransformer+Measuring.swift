import Compute
import Diffusion
import Networks

extension AuraFlowTransformer {
  /// Some 32 words and, as one token, all padding; the prompt and the negative one.
  package var usualWork: (textTokens: Int, branches: Int) { (33, 2) }

  package var layerCounts: [Int] {
    [configuration.doubleLayerCount, configuration.singleLayerCount]
  }

  package func rowCounts(
    _ size: LatentSize, textTokens: Int
  ) -> (image: Int, context: Int) {
    let patch = configuration.patchSize
    return (size.height / patch * (size.width / patch), configuration.registerCount + textTokens)
  }

  package func blankConditioning(
    textTokens: Int, on device: any ComputeDevice
  ) throws(ComputeError) -> Context {
    // Of the size of a text encoder's output, and not the same in every place.
    let values = (0..<textTokens * configuration.textWidth).map { Float($0 % 17 - 8) / 8 }
    let text = try device.matrix(values, rows: textTokens, columns: configuration.textWidth)
    return try context(text: text, padding: 0, on: device)
  }

  /// Tokens of the trial: image, and context beside it where layers are joint.
  private static let trialTokens = (image: 256, context: 32)

  package func passTrialLayer(on device: any ComputeDevice) throws(ComputeError) {
    let layout = TokenLayout(
      contexts: [Self.trialTokens.context], imageTokens: Self.trialTokens.image)
    let state = try AuraFlowState(layout, configuration, keyBiases: [nil], on: device)
    func fill(_ matrix: Matrix) throws(ComputeError) {
      try device.write(
        [Float](repeating: 0.5, count: matrix.rows * matrix.columns), to: matrix)
    }
    try fill(state.tokens)
    let vectors = try device.matrix(rows: 1, columns: 6 * configuration.hiddenSize)
    try fill(vectors)
    let modulation = LayerModulation(streams: [vectors, vectors])
    let index = weights.singleLayers.isEmpty ? 0 : weights.doubleLayers.count
    guard index < weights.layerCount else { return }
    let streams = state.streams(of: 0, weights.streams(of: index), modulation, row: 0)
    try device.holding(stepWeights, layer: index) { () throws(ComputeError) in
      try state.run(branch: 0, streams, on: device)
    }
  }
}
