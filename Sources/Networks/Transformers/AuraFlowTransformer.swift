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

  /// Opens the weights; nothing is read yet but small vectors.
  package init(_ source: PartSource) throws(ModelFileError) {
    configuration = try AuraFlowConfiguration(source)
    weights = try AuraFlowWeights(source.weights, configuration)
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
    weights.registers.decode(rows: 0..<registers, into: rows.pointer)
    try multiply(
      text, by: weights.textInput, into: rows.rows(registers..<registers + text.rows), on: pool)
    for row in registers + text.rows..<rows.rows {
      rows.row(row).update(repeating: 0, count: rows.columns)
    }
    return Context(rows: rows, padding: collapsingPadding ? padding : paddingRows > 0 ? 1 : 0)
  }

  /// Latents to denoise under a context.
  package struct Branch: Sendable {
    /// `[channels, height, width]`.
    let latents: [Float]
    let context: Context

    package init(latents: [Float], context: Context) {
      self.latents = latents
      self.context = context
    }
  }

  /// The velocities (noise minus image) of several branches at one step.
  ///
  /// All branches pass through a layer together, so its weights are read and decoded once.
  ///
  /// - Parameters:
  ///   - branches: latents of equal size with their contexts.
  ///   - height: latent rows, a multiple of the patch size.
  ///   - width: latent columns, a multiple of the patch size.
  ///   - modulation: of the schedule.
  ///   - step: which of the schedule's steps.
  ///   - pool: threads to compute on.
  /// - Returns: `[channels, height, width]` for each branch.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func velocities(
    _ branches: [Branch], height: Int, width: Int, modulation: AuraFlowModulation, step: Int,
    on pool: ThreadPool
  ) throws(ComputeError) -> [[Float]] {
    let patches = LatentPatches(
      channels: configuration.latentChannels, height: height, width: width,
      patchSize: configuration.patchSize)
    let layout = TokenLayout(
      contexts: branches.map(\.context.rows.rows), imageTokens: patches.count)
    let state = try AuraFlowState(
      layout, configuration, keyBiases: branches.map(\.context.keyBias))
    try embed(branches, patches, layout, into: state.tokens, on: pool)
    let hidden = configuration.hiddenSize
    func adapt(_ vectors: Matrix) -> LayerModulation {
      LayerModulation(values: vectors.row(step), hiddenSize: hidden)
    }
    for (layer, vectors) in zip(weights.doubleLayers, modulation.doubleLayers) {
      try state.run(
        [
          (layout.contextRows, layer.context, adapt(vectors.context)),
          (layout.imageRows, layer.image, adapt(vectors.image)),
        ], on: pool)
    }
    for (layer, vectors) in zip(weights.singleLayers, modulation.singleLayers) {
      try state.run([(layout.allRows, layer, adapt(vectors))], on: pool)
    }
    return try project(
      state.tokens.rows(layout.imageRows), patches, modulation.final.row(step), on: pool)
  }

  // MARK: Into and out of tokens

  private func embed(
    _ branches: [Branch], _ patches: LatentPatches, _ layout: TokenLayout, into tokens: Matrix,
    on pool: ThreadPool
  ) throws(ComputeError) {
    let hidden = configuration.hiddenSize
    let values = try Matrix(
      branches.flatMap { patches.inputFeatures(of: $0.latents) },
      rows: branches.count * patches.count, columns: patches.featureCount)
    try multiply(
      values, by: weights.imageInput.weight, bias: weights.imageInput.bias,
      into: tokens.rows(layout.imageRows), on: pool)
    let positions = try Matrix(rows: patches.columns, columns: hidden)
    // The crop of the position grid around its middle; each half is rounded down by itself.
    let firstRow = configuration.gridSide / 2 - patches.rows / 2
    let firstColumn = configuration.gridSide / 2 - patches.columns / 2
    for row in 0..<patches.rows {
      let first = (firstRow + row) * configuration.gridSide + firstColumn
      weights.positions.decode(rows: first..<first + patches.columns, into: positions.pointer)
      for branch in branches.indices {
        let start = layout.imageRows(of: branch).lowerBound + row * patches.columns
        try add(positions, to: tokens.rows(start..<start + patches.columns), on: pool)
      }
    }
    for (index, branch) in branches.enumerated() {
      let rows = branch.context.rows
      for row in 0..<rows.rows {
        tokens.row(layout.contextRows(of: index).lowerBound + row)
          .update(from: rows.row(row), count: hidden)
      }
    }
  }

  private func project(
    _ image: Matrix, _ patches: LatentPatches, _ modulation: UnsafePointer<Float>,
    on pool: ThreadPool
  ) throws(ComputeError) -> [[Float]] {
    let hidden = configuration.hiddenSize
    try pool.run(ranges: image.rows, grain: 16) { rows in
      for row in rows {
        // Shift first, then scale; no normalization precedes this one.
        modulate(
          image.row(row), scale: modulation + hidden, shift: modulation, count: hidden)
      }
    }
    let features = try Matrix(rows: image.rows, columns: patches.featureCount)
    try multiply(image, by: weights.output, into: features, on: pool)
    return (0..<image.rows / patches.count).map { branch in
      patches.latents(
        fromOutput: features.rows(branch * patches.count..<(branch + 1) * patches.count))
    }
  }
}
