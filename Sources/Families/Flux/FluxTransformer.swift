import Checkpoints
import Compute
import Diffusion
import Foundation
import ModelFiles
import Networks

/// The FLUX.1 diffusion transformer: noisy latents, text and time to a velocity.
///
/// Text and image have weights of their own in the double layers and common ones in the single
/// layers, whose attention and feed-forward part run side by side.
///
/// - SeeAlso: diffusers `models/transformers/transformer_flux.py`, version 0.42.1; Black Forest
///   Labs' `flux/model.py`.
package struct FluxTransformer: Denoiser {
  package let configuration: FluxConfiguration
  let weights: FluxWeights
  /// What each step reads.
  package let stepWeights: WeightStream
  /// What is read once for a whole schedule.
  package let scheduleWeights: WeightStream

  /// Opens the weights; nothing is read yet but small vectors.
  package init(_ source: PartSource) throws(ModelFileError) {
    try self.init(source.weights, FluxConfiguration(source))
  }

  /// Asks for every tensor in the shape that the configuration demands.
  ///
  /// - Throws: `ModelFileError` for the first that is missing, misshapen, not of a weight type, or
  ///   superfluous.
  package init(
    _ weights: any WeightSource, _ configuration: FluxConfiguration
  ) throws(ModelFileError) {
    self.configuration = configuration
    let weights = try FluxWeights(weights, configuration)
    self.weights = weights
    stepWeights = WeightStream(
      weights.doubleLayers.map(\.stepWeights) + weights.singleLayers.map(\.stepWeights),
      repeats: true)
    scheduleWeights = WeightStream(
      weights.doubleLayers.flatMap { [[$0.image.modulation.weight], [$0.text.modulation.weight]] }
        + weights.singleLayers.map { [$0.modulation.weight] } + [[weights.finalModulation.weight]])
  }

  package var geometry: LatentGeometry {
    LatentGeometry(
      channels: configuration.latentChannels, sideMultiple: FluxConfiguration.patchSize,
      largestSide: Self.largestSide)
  }

  /// Positions have no end; beyond this nothing was trained, and no memory suffices.
  private static let largestSide = 1024

  package var isGuidanceDistilled: Bool { configuration.hasGuidance }
  package var scheduleStages: [WeightStage] { [WeightStage("schedule", scheduleWeights)] }
  package var stepStage: WeightStage { WeightStage("steps", stepWeights, isRepeated: true) }

  /// A prompt as the transformer takes it.
  package struct Context: Sendable {
    /// `[tokens, hidden]`: the text encoder's output after the transformer's own projection, which
    /// no step changes.
    let rows: Matrix
    /// `[1, pooledWidth]`: one vector for the whole prompt.
    let pooled: Matrix
  }

  /// Projects a prompt's text embedding.
  ///
  /// - Parameters:
  ///   - text: `[tokens, textWidth]`.
  ///   - pooled: `[1, pooledWidth]`.
  ///   - device: where to compute.
  /// - Returns: the context of one branch.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  package func context(
    text: Matrix, pooled: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) -> Context {
    let rows = try device.matrix(rows: text.rows, columns: configuration.hiddenSize)
    try device.multiply(ProductInput(text), by: [weights.textInput.product(into: rows)])
    return Context(rows: rows, pooled: pooled)
  }

  /// What all pictures of a run have in common.
  package struct Prepared: Sendable {
    let contexts: [Context]
    let modulation: FluxModulation
    let rotation: Matrix
    let size: LatentSize
  }

  package func prepare(
    _ prompts: [Context], times: [Float], guidance: Float?, size: LatentSize,
    on device: any ComputeDevice
  ) throws(ComputeError) -> Prepared {
    Prepared(
      contexts: prompts,
      modulation: try modulation(
        times: times, guidance: guidance ?? 0, pooled: prompts.map(\.pooled), on: device),
      rotation: try rotation(patches(size), on: device), size: size)
  }

  /// Contexts, modulation and memory for activations.
  package struct Session: Sendable {
    let state: FluxState
    let patches: LatentPatches
    /// Of each prompt.
    let contexts: [Context]
    /// Of all steps; nil in a session of stages, each of which is given its vectors.
    let modulation: FluxModulation?
    /// The prompt of each branch.
    let prompts: [Int]

    /// The row of a branch's vectors at a step.
    func row(of branch: Int, step: Int) -> Int { step * contexts.count + prompts[branch] }
  }

  package func session(
    _ prepared: Prepared, prompts: [Int], on device: any ComputeDevice
  ) throws(ComputeError) -> Session {
    try session(
      prepared.contexts, prepared.size, prepared.modulation, prepared.rotation,
      prompts: prompts, feedForwardRows: FluxState.feedForwardRows, on: device)
  }

  /// Allocates memory for one branch.
  func stageMemory(
    _ prompt: Context, _ size: LatentSize, on device: any ComputeDevice
  ) throws(ComputeError) -> Session {
    try session(
      [prompt], size, nil, try rotation(patches(size), on: device), prompts: [0],
      feedForwardRows: .max, on: device)
  }

  private func session(
    _ contexts: [Context], _ size: LatentSize, _ modulation: FluxModulation?, _ rotation: Matrix,
    prompts: [Int], feedForwardRows: Int, on device: any ComputeDevice
  ) throws(ComputeError) -> Session {
    let patches = patches(size)
    let layout = TokenLayout(
      contexts: prompts.map { contexts[$0].rows.rows },
      imageTokens: patches.count)
    return Session(
      state: try FluxState(
        layout, configuration, rotation: rotation, feedForwardRows: feedForwardRows, on: device),
      patches: patches, contexts: contexts, modulation: modulation, prompts: prompts)
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
      let layer = weights.layer(index)
      try device.holding(stepWeights, layer: index) { () throws(ComputeError) in
        for branch in branches {
          let streams = FluxStream.streams(
            of: branch, in: state.layout, layer, vectors, row: session.row(of: branch, step: step))
          try state.run(branch: branch, streams, on: device)
        }
      }
    }
    var velocities: [Latents] = []
    for branch in branches {
      let row = session.row(of: branch, step: step)
      let values = try readTokens(
        of: branch, session, modulation.final.rows(row..<row + 1), on: device)
      velocities.append(latents[branch - first].with(values))
    }
    return velocities
  }

  // MARK: Into and out of tokens

  private func patches(_ size: LatentSize) -> LatentPatches {
    LatentPatches(
      channels: configuration.latentChannels, height: size.height, width: size.width,
      patchSize: FluxConfiguration.patchSize)
  }

  /// Writes what enters the first layer: contexts, and latents.
  func writeTokens(
    _ latents: [Latents], _ session: Session, from first: Int = 0, on device: any ComputeDevice
  ) throws(ComputeError) {
    let (state, patches) = (session.state, session.patches)
    for (branch, latents) in zip(first..., latents) {
      let features = try device.matrix(
        patches.features(of: latents.values, .channelFirst), rows: patches.count,
        columns: patches.featureCount)
      try device.multiply(
        ProductInput(features),
        by: [
          weights.imageInput.product(into: state.tokens.rows(state.layout.imageRows(of: branch)))
        ])
      try device.copy(
        session.contexts[session.prompts[branch]].rows,
        to: state.tokens.rows(state.layout.contextRows(of: branch)))
    }
  }

  /// The angles by which heads of image tokens are turned, `[tokens, headDimension]`: cosine and
  /// sine for each pair, for row and column of the token.
  private func rotation(
    _ patches: LatentPatches, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let axes = configuration.axes
    let first = Self.angles(axis: axes[0], position: 0)
    let rows = (0..<patches.rows).map { Self.angles(axis: axes[1], position: $0) }
    let columns = (0..<patches.columns).map { Self.angles(axis: axes[2], position: $0) }
    var values: [Float] = []
    values.reserveCapacity(patches.count * configuration.headDimension)
    for row in rows {
      for column in columns { values += first + row + column }
    }
    return try device.matrix(values, rows: patches.count, columns: configuration.headDimension)
  }

  /// Cosine and sine of each angle by which a position on one axis turns a head.
  ///
  /// - Parameters:
  ///   - axis: elements of the head that the axis turns.
  ///   - position: the place on it.
  /// - Returns: `axis` numbers.
  private static func angles(axis: Int, position: Int) -> [Float] {
    (0..<axis / 2).flatMap { pair in
      let frequency = pow(rotaryBase, -Double(2 * pair) / Double(axis))
      let angle = Double(position) * frequency
      return [Float(cos(angle)), Float(sin(angle))]
    }
  }

  /// Base of the rotary embedding's wave lengths.
  private static let rotaryBase = 10_000.0

  /// The velocity, `[channels, height, width]`, from a branch's image tokens; `modulation` is
  /// `[1, 2 · hidden]`: shift, then scale.
  func readTokens(
    of branch: Int, _ session: Session, _ modulation: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) -> [Float] {
    let (hidden, patches) = (configuration.hiddenSize, session.patches)
    let image = session.state.tokens.rows(session.state.layout.imageRows(of: branch))
    let features = try device.matrix(rows: image.rows, columns: patches.featureCount)
    let input = ProductInput.modulated(
      image, scale: modulation.columns(hidden..<2 * hidden),
      shift: modulation.columns(0..<hidden), epsilon: FluxState.epsilon)
    try device.multiply(input, by: [weights.output.product(into: features)])
    return patches.latents(of: try device.read(features), .channelFirst)
  }
}
