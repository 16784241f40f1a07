import Compute
import Diffusion
import Networks

extension FluxTransformer {
  /// Padding is computed as words are, and guidance costs no second branch.
  package var usualWork: (textTokens: Int, branches: Int) {
    let defaults = configuration.hasGuidance ? Flux.dev(side: 1024) : Flux.schnell(side: 1024)
    return (defaults.maxSequenceLength, 1)
  }

  package var layerCounts: [Int] {
    [configuration.doubleLayerCount, configuration.singleLayerCount]
  }

  package func rowCounts(
    _ size: LatentSize, textTokens: Int
  ) -> (image: Int, context: Int) {
    let patch = FluxConfiguration.patchSize
    return (size.height / patch * (size.width / patch), textTokens)
  }

  package func blankConditioning(
    textTokens: Int, on device: any ComputeDevice
  ) throws(ComputeError) -> Context {
    // Of the size of a text encoder's output, and not the same in every place.
    func matrix(_ rows: Int, _ columns: Int) throws(ComputeError) -> Matrix {
      try device.matrix(
        (0..<rows * columns).map { Float($0 % 17 - 8) / 8 }, rows: rows, columns: columns)
    }
    return try context(
      text: matrix(textTokens, configuration.textWidth),
      pooled: matrix(1, configuration.pooledWidth),
      on: device)
  }

  /// Tokens of the trial: image, and context beside it.
  private static let trialTokens = (image: 256, context: 32)

  package func passTrialLayer(on device: any ComputeDevice) throws(ComputeError) {
    let layout = TokenLayout(
      contexts: [Self.trialTokens.context], imageTokens: Self.trialTokens.image)
    func filled(_ rows: Int, _ columns: Int) throws(ComputeError) -> Matrix {
      try device.matrix(
        [Float](repeating: 0.5, count: rows * columns), rows: rows, columns: columns)
    }
    let rotation = try filled(layout.imageTokens, configuration.headDimension)
    let state = try FluxState(layout, configuration, rotation: rotation, on: device)
    try device.copy(
      try filled(state.tokens.rows, state.tokens.columns), to: state.tokens)
    guard weights.layerCount > 0 else { return }
    let hidden = configuration.hiddenSize
    let layer = weights.layer(0)
    let modulation: LayerModulation
    switch layer {
    case .double:
      let vectors = try filled(1, 6 * hidden)
      modulation = .double(text: vectors, image: vectors)
    case .single: modulation = .single(try filled(1, 3 * hidden))
    }
    let streams = FluxStream.streams(of: 0, in: layout, layer, modulation, row: 0)
    try device.holding(stepWeights, layer: 0) { () throws(ComputeError) in
      try state.run(branch: 0, streams, on: device)
    }
  }
}
