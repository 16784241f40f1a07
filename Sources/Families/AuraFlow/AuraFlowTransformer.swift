import Checkpoints
import Compute
import Diffusion
import Foundation
import ModelFiles
import Networks

/// The AuraFlow diffusion transformer: noisy latents, text and time to a velocity.
///
/// Unlike in most transformers, the attention's result reaches the residual stream only through
/// the feed-forward part; queries and keys are normalized per head without learned scale; text has
/// no positions and no mask.
///
/// - SeeAlso: diffusers `models/transformers/auraflow_transformer_2d.py`, commit 58eb52c0; ComfyUI
///   `comfy/ldm/aura/mmdit.py`, commit a125cd84.
package struct AuraFlowTransformer: Denoiser {
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
  /// - Throws: `ModelFileError` for the first that is missing, misshapen, not of a weight type, or
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

  package var geometry: LatentGeometry {
    LatentGeometry(
      channels: configuration.latentChannels, sideMultiple: configuration.patchSize,
      largestSide: configuration.gridSide * configuration.patchSize)
  }

  package var isGuidanceDistilled: Bool { false }
  package var scheduleStages: [WeightStage] { [WeightStage("schedule", scheduleWeights)] }
  package var stepStage: WeightStage { WeightStage("steps", stepWeights, isRepeated: true) }

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
      padding > 1 ? (rows.rows - 1, logf(Float(padding))) : nil
    }
  }

  /// Projects a prompt's text embedding and puts the registers before it.
  ///
  /// - Parameters:
  ///   - text: `[tokens, textWidth]`, real tokens only.
  ///   - padding: zero rows that the reference would append.
  ///   - collapsingPadding: whether one row stands for all padding; the result is the same.
  ///   - device: where to compute.
  /// - Returns: the context of one branch.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  package func context(
    text: Matrix, padding: Int, collapsingPadding: Bool = true, on device: any ComputeDevice
  ) throws(ComputeError) -> Context {
    let registers = configuration.registerCount
    let paddingRows = collapsingPadding ? min(padding, 1) : padding
    let rows = try device.matrix(
      rows: registers + text.rows + paddingRows, columns: configuration.hiddenSize)
    try device.gather([0..<registers], of: weights.registers, into: rows.rows(0..<registers))
    try device.multiply(
      text, by: weights.textInput, into: rows.rows(registers..<registers + text.rows))
    let padded = rows.rows(registers + text.rows..<rows.rows)
    try device.write([Float](repeating: 0, count: padded.rows * padded.columns), to: padded)
    return Context(rows: rows, padding: collapsingPadding ? padding : paddingRows > 0 ? 1 : 0)
  }

  /// What all pictures of a run have in common.
  package struct Prepared: Sendable {
    let contexts: [Context]
    let modulation: AuraFlowModulation
    let size: LatentSize
  }

  package func prepare(
    _ prompts: [Context], times: [Float], guidance: Float?, size: LatentSize,
    on device: any ComputeDevice
  ) throws(ComputeError) -> Prepared {
    Prepared(
      contexts: prompts, modulation: try modulation(times: times, on: device), size: size)
  }

  /// Contexts, modulation and memory for activations.
  package struct Session: Sendable {
    let state: AuraFlowState
    let patches: LatentPatches
    let contexts: [Context]
    /// Of all steps; nil in a session of stages, each of which is given its vectors.
    let modulation: AuraFlowModulation?
  }

  package func session(
    _ prepared: Prepared, prompts: [Int], on device: any ComputeDevice
  ) throws(ComputeError) -> Session {
    try session(
      of: prompts.map { prepared.contexts[$0] }, prepared.size, prepared.modulation,
      feedForwardRows: AuraFlowState.feedForwardRows, on: device)
  }

  /// Allocates memory for some branches, one for each of the contexts.
  func session(
    of contexts: [Context], _ size: LatentSize, _ modulation: AuraFlowModulation?,
    feedForwardRows: Int, on device: any ComputeDevice
  ) throws(ComputeError) -> Session {
    let patches = LatentPatches(
      channels: configuration.latentChannels, height: size.height, width: size.width,
      patchSize: configuration.patchSize)
    let layout = TokenLayout(contexts: contexts.map(\.rows.rows), imageTokens: patches.count)
    return Session(
      state: try AuraFlowState(
        layout, configuration, keyBiases: contexts.map(\.keyBias),
        feedForwardRows: feedForwardRows, on: device),
      patches: patches, contexts: contexts, modulation: modulation)
  }

  /// The velocities (noise minus image) of all branches at one step.
  ///
  /// All branches pass through a layer before the next one, so its weights are read once.
  package func predict(
    _ latents: [Latents], _ session: Session, time step: Int, from first: Int,
    on device: any ComputeDevice
  ) throws(ComputeError) -> [Latents] {
    guard let modulation = session.modulation else {
      preconditionFailure("a session of stages has no steps")
    }
    let state = session.state
    let branches = first..<first + latents.count
    try writeTokens(latents, session, from: first, on: device)
    for (index, vectors) in modulation.layers.enumerated() {
      let layer = weights.streams(of: index)
      try device.holding(stepWeights, layer: index) { () throws(ComputeError) in
        for branch in branches {
          try state.run(
            branch: branch, state.streams(of: branch, layer, vectors, row: step), on: device)
        }
      }
    }
    var velocities: [Latents] = []
    for branch in branches {
      let values = try readTokens(
        of: branch, session, modulation.final.rows(step..<step + 1), on: device)
      velocities.append(latents[branch - first].with(values))
    }
    return velocities
  }

  // MARK: Into and out of tokens

  /// Writes what enters the first layer: contexts, and latents with their positions.
  func writeTokens(
    _ latents: [Latents], _ session: Session, from first: Int = 0, on device: any ComputeDevice
  ) throws(ComputeError) {
    let (state, patches) = (session.state, session.patches)
    for (branch, latents) in zip(first..., latents) {
      let features = try device.matrix(
        patches.features(of: latents.values, .channelFirst), rows: patches.count,
        columns: patches.featureCount)
      try device.multiply(
        features, by: weights.imageInput.weight, bias: weights.imageInput.bias,
        into: state.tokens.rows(state.layout.imageRows(of: branch)))
      try device.copy(
        session.contexts[branch].rows, to: state.tokens.rows(state.layout.contextRows(of: branch)))
    }
    try addPositions(session, on: device)
  }

  /// Adds the crop of the position grid around its middle to the image tokens.
  private func addPositions(_ session: Session, on device: any ComputeDevice) throws(ComputeError) {
    let (state, patches) = (session.state, session.patches)
    let positions = try device.matrix(rows: patches.columns, columns: configuration.hiddenSize)
    // Each half is rounded down by itself.
    let firstRow = configuration.gridSide / 2 - patches.rows / 2
    let firstColumn = configuration.gridSide / 2 - patches.columns / 2
    for row in 0..<patches.rows {
      let first = (firstRow + row) * configuration.gridSide + firstColumn
      try device.gather([first..<first + patches.columns], of: weights.positions, into: positions)
      for branch in session.contexts.indices {
        let start = state.layout.imageRows(of: branch).lowerBound + row * patches.columns
        try device.add(positions, to: state.tokens.rows(start..<start + patches.columns))
      }
    }
  }

  /// The velocity, `[channels, height, width]`, from a branch's image tokens; `modulation` is
  /// `[1, 2 · hidden]`: shift, then scale.
  func readTokens(
    of branch: Int, _ session: Session, _ modulation: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) -> [Float] {
    let (hidden, patches) = (configuration.hiddenSize, session.patches)
    let image = session.state.tokens.rows(session.state.layout.imageRows(of: branch))
    let features = try device.matrix(rows: image.rows, columns: patches.featureCount)
    // No normalization precedes this one.
    let input = ProductInput.modulated(
      image, .none, scale: modulation.columns(hidden..<2 * hidden),
      shift: modulation.columns(0..<hidden), epsilon: 0)
    try device.multiply(input, by: [Product(weights.output, into: features)])
    // Unlike the input, the output has the channel last.
    return patches.latents(of: try device.read(features), .channelLast)
  }
}
