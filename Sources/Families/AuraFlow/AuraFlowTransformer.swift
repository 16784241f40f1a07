import Checkpoints
import ModelFiles
import Tensors

/// The AuraFlow diffusion transformer: noisy latents, text and time to a velocity.
///
/// Unlike in most transformers, the attention's result reaches the residual stream only through
/// the feed-forward part; queries and keys are normalized per head without learned scale; text has
/// no positions and no mask.
///
/// - SeeAlso: diffusers `models/transformers/auraflow_transformer_2d.py`, commit 58eb52c0; ComfyUI
///   `comfy/ldm/aura/mmdit.py`, commit a125cd84.
package struct AuraFlowTransformer: Sendable {
  /// Added to variances by every normalization.
  static let epsilon: Float = 1e-5

  package let configuration: AuraFlowConfiguration
  let weights: AuraFlowWeights
  /// What each step reads.
  package let stepWeights: WeightStream
  /// What is read once for a whole schedule.
  package let scheduleWeights: WeightStream

  /// Opens the weights; nothing is read yet but small vectors.
  package init(_ source: PartSource) throws(ModelFileError) {
    try self.init(source.weights, AuraFlowConfiguration(source))
  }

  /// Asks for every tensor in the shape that the configuration demands.
  ///
  /// - Throws: `ModelFileError` for the first that is missing, misshapen, of no weight type, or
  ///   superfluous.
  package init(
    _ weights: any WeightSource, _ configuration: AuraFlowConfiguration
  ) throws(ModelFileError) {
    self.configuration = configuration
    let weights = try AuraFlowWeights(weights, configuration)
    self.weights = weights
    stepWeights = WeightStream(
      weights.doubleLayers.map(\.stepWeights) + weights.singleLayers.map(\.stepWeights),
      repeats: true)
    scheduleWeights = WeightStream(
      weights.doubleLayers.flatMap { [[$0.context.modulation], [$0.image.modulation]] }
        + weights.singleLayers.map { [$0.modulation] } + [[weights.finalModulation]])
  }

  /// The latent size that the position table can serve, in latent pixels per side.
  package var largestLatentSide: Int { configuration.gridSide * configuration.patchSize }

  /// A prompt as the transformer's context: registers, text rows, and the padding rows.
  package struct Context: Sendable {
    /// `[tokens, hidden]`.
    let rows: Matrix
    /// Padding rows that the last row stands for; 0 if there is none.
    let padding: Int

    /// Logarithm of the padding count, for the last row's attention scores.
    ///
    /// Padding rows begin equal (zero) and have neither positions nor a mask, so they stay equal
    /// through all layers. P equal keys weigh as much as one whose score is raised by ln P.
    var keyBias: (position: Int, value: Float)? {
      padding > 1 ? (rows.rows - 1, Float(padding).logarithm) : nil
    }
  }

  /// Projects a prompt's text embedding and puts the registers before it.
  ///
  /// - Parameters:
  ///   - text: `[tokens, textWidth]`, real tokens only.
  ///   - padding: zero rows that the reference would append.
  ///   - collapsingPadding: whether one row stands for all padding; the result is the same.
  ///   - pool: threads to compute on.
  /// - Returns: the context that a `Branch` takes.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func context(
    text: Matrix, padding: Int, collapsingPadding: Bool = true, on pool: ThreadPool
  ) throws(ComputeError) -> Context {
    let registers = configuration.registerCount
    let paddingRows = collapsingPadding ? min(padding, 1) : padding
    let rows = try Matrix(
      rows: registers + text.rows + paddingRows, columns: configuration.hiddenSize)
    try weights.registers.decode(rows: 0..<registers, into: rows.pointer)
    try multiply(
      text, by: weights.textInput, into: rows.rows(registers..<registers + text.rows), on: pool)
    for row in registers + text.rows..<rows.rows {
      rows.row(row).update(repeating: 0, count: rows.columns)
    }
    return Context(rows: rows, padding: collapsingPadding ? padding : paddingRows > 0 ? 1 : 0)
  }

  /// What a schedule's steps share: contexts, modulation and memory for activations.
  package struct Session: Sendable {
    let state: AuraFlowState
    let patches: LatentPatches
    let contexts: [Context]
    let modulation: AuraFlowModulation
  }

  /// Prepares to denoise latents under some contexts, a branch for each.
  ///
  /// - Parameters:
  ///   - contexts: one for each branch.
  ///   - height: latent rows, a multiple of the patch size.
  ///   - width: latent columns, a multiple of the patch size.
  ///   - modulation: of the schedule.
  /// - Returns: what the steps need.
  /// - Throws: `ComputeError` if memory runs out.
  package func session(
    _ contexts: [Context], height: Int, width: Int, modulation: AuraFlowModulation
  ) throws(ComputeError) -> Session {
    let patches = LatentPatches(
      channels: configuration.latentChannels, height: height, width: width,
      patchSize: configuration.patchSize)
    let layout = TokenLayout(contexts: contexts.map(\.rows.rows), imageTokens: patches.count)
    return Session(
      state: try AuraFlowState(layout, configuration, keyBiases: contexts.map(\.keyBias)),
      patches: patches, contexts: contexts, modulation: modulation)
  }

  /// The velocities (noise minus image) of all branches at one step.
  ///
  /// All branches pass through a layer before the next one, so its weights are read once.
  ///
  /// - Parameters:
  ///   - latents: `[channels, height, width]` for each branch.
  ///   - session: made for these branches; one step at a time.
  ///   - step: which of the schedule's steps.
  ///   - pool: threads to compute on.
  /// - Returns: `[channels, height, width]` for each branch.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the pool is cancelled.
  package func velocities(
    _ latents: [[Float]], _ session: Session, step: Int, on pool: ThreadPool
  ) throws(ComputeError) -> [[Float]] {
    let (state, modulation) = (session.state, session.modulation)
    try embed(latents, session, on: pool)
    func adapt(_ vectors: Matrix) -> LayerModulation {
      LayerModulation(values: vectors.row(step), hiddenSize: configuration.hiddenSize)
    }
    for (index, layer) in weights.doubleLayers.enumerated() {
      let vectors = modulation.doubleLayers[index]
      try stepWeights.holding(layer: index) { () throws(ComputeError) in
        for branch in latents.indices {
          let context = AuraFlowState.Stream(
            rows: state.layout.contextRows(of: branch), weights: layer.context,
            modulation: adapt(vectors.context))
          let image = AuraFlowState.Stream(
            rows: state.layout.imageRows(of: branch), weights: layer.image,
            modulation: adapt(vectors.image))
          try state.run(branch: branch, [context, image], on: pool)
        }
      }
    }
    for (index, layer) in weights.singleLayers.enumerated() {
      let vectors = adapt(modulation.singleLayers[index])
      try stepWeights.holding(layer: weights.doubleLayers.count + index) {
        () throws(ComputeError) in
        for branch in latents.indices {
          let tokens = AuraFlowState.Stream(
            rows: state.layout.rows(of: branch), weights: layer, modulation: vectors)
          try state.run(branch: branch, [tokens], on: pool)
        }
      }
    }
    return try latents.indices.map { branch throws(ComputeError) in
      try project(
        state.tokens.rows(state.layout.imageRows(of: branch)), session.patches,
        modulation.final.row(step), on: pool)
    }
  }

  /// Bytes of activations that a session and its steps need.
  ///
  /// - Parameters:
  ///   - contextTokens: tokens of each branch's context.
  ///   - height: latent rows.
  ///   - width: latent columns.
  ///   - steps: of the schedule, whose modulation is kept.
  ///   - pool: threads to compute on.
  /// - Returns: bytes.
  package func activationBytes(
    contextTokens: [Int], height: Int, width: Int, steps: Int, on pool: ThreadPool
  ) -> Int {
    let patches = LatentPatches(
      channels: configuration.latentChannels, height: height, width: width,
      patchSize: configuration.patchSize)
    let layout = TokenLayout(contexts: contextTokens, imageTokens: patches.count)
    return AuraFlowState.byteCount(layout, configuration, on: pool)
      + modulationBytes(steps: steps)
  }

  /// Bytes that making a schedule's modulation needs, the modulation among them.
  package func scheduleBytes(steps: Int, on pool: ThreadPool) -> Int {
    modulationBytes(steps: steps)
      + 4 * steps * (2 * configuration.hiddenSize + configuration.timeWidth)
      + productWorkspace(rows: steps, columns: configuration.hiddenSize, on: pool)
  }

  /// Bytes of a schedule's modulation.
  package func modulationBytes(steps: Int) -> Int {
    let layers = 2 * configuration.doubleLayerCount + configuration.singleLayerCount
    return 4 * steps * configuration.hiddenSize * (6 * layers + 2)
  }

  // MARK: Into and out of tokens

  private func embed(
    _ latents: [[Float]], _ session: Session, on pool: ThreadPool
  ) throws(ComputeError) {
    let (state, patches) = (session.state, session.patches)
    for (branch, values) in latents.enumerated() {
      let image = state.tokens.rows(state.layout.imageRows(of: branch))
      try multiply(
        Matrix(
          patches.inputFeatures(of: values), rows: patches.count, columns: patches.featureCount),
        by: weights.imageInput.weight, bias: weights.imageInput.bias, into: image, on: pool)
      let context = state.tokens.rows(state.layout.contextRows(of: branch))
      for row in 0..<context.rows {
        context.row(row).update(
          from: session.contexts[branch].rows.row(row), count: context.columns)
      }
    }
    try addPositions(session, on: pool)
  }

  /// Adds the crop of the position grid around its middle to the image tokens.
  private func addPositions(_ session: Session, on pool: ThreadPool) throws(ComputeError) {
    let (state, patches) = (session.state, session.patches)
    let positions = try Matrix(rows: patches.columns, columns: configuration.hiddenSize)
    // Each half is rounded down by itself.
    let firstRow = configuration.gridSide / 2 - patches.rows / 2
    let firstColumn = configuration.gridSide / 2 - patches.columns / 2
    for row in 0..<patches.rows {
      let first = (firstRow + row) * configuration.gridSide + firstColumn
      try weights.positions.decode(
        rows: first..<first + patches.columns, into: positions.pointer)
      for branch in session.contexts.indices {
        let start = state.layout.imageRows(of: branch).lowerBound + row * patches.columns
        try add(positions, to: state.tokens.rows(start..<start + patches.columns), on: pool)
      }
    }
  }

  private func project(
    _ image: Matrix, _ patches: LatentPatches, _ modulation: UnsafePointer<Float>,
    on pool: ThreadPool
  ) throws(ComputeError) -> [Float] {
    let features = try Matrix(rows: image.rows, columns: patches.featureCount)
    // Shift first, then scale; no normalization precedes this one.
    let input = ProductInput.modulated(
      image, .none, scale: modulation + configuration.hiddenSize, shift: modulation, epsilon: 0)
    try multiply(input, by: [Product(weights.output, into: features)], on: pool)
    return patches.latents(fromOutput: features)
  }
}
