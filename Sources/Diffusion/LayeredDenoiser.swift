import Compute

/// A denoiser whose layers follow each other and hand on nothing but tokens.
///
/// Weights are calibrated on it layer by layer: every point of the calibration passes through a
/// stage of a layer before the next stage begins, and what lies between stages is kept elsewhere.
/// `predict` runs the same stages, all of a layer for a branch at once.
package protocol LayeredDenoiser: Denoiser {
  /// The vectors by which one layer adapts tokens, for some rows of `modulationInputs`.
  associatedtype LayerModulation: Sendable

  /// Layers of all stacks.
  var layerCount: Int { get }

  /// Evaluates the modulation of a layer.
  ///
  /// - Parameters:
  ///   - layer: index over all stacks.
  ///   - inputs: `[rows, columns]`, see `modulationInputs`.
  ///   - device: where to compute.
  /// - Returns: vectors for each row.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  func modulation(
    of layer: Int, for inputs: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) -> LayerModulation
  /// Evaluates the modulation that follows the last layer, `[rows, …]`.
  func finalModulation(
    for inputs: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix

  /// A prompt of the same shape without content, for sessions whose tokens come from elsewhere.
  func outline(
    of prompt: Conditioning, on device: any ComputeDevice
  ) throws(ComputeError) -> Conditioning
  /// Allocates memory for passing one branch stage by stage: unlike in a session for steps, what
  /// one stage leaves for the next is there for all rows.
  ///
  /// - Parameters:
  ///   - prompt: of the branch.
  ///   - size: of the latents.
  ///   - device: where to compute.
  /// - Returns: a session without modulation.
  /// - Throws: `ComputeError` if memory runs out.
  func stageSession(
    _ prompt: Conditioning, size: LatentSize, on device: any ComputeDevice
  ) throws(ComputeError) -> Session
  /// What stages hand to each other, `[rows, …]` each; the tokens are the first.
  func matrices(of session: Session) -> [Matrix]

  /// Writes the tokens that enter the first layer.
  func embed(
    _ latents: [Latents], _ session: Session, on device: any ComputeDevice
  ) throws(ComputeError)
  /// What follows each other in a layer: the inputs of all products of a stage are known when it
  /// begins.
  func stages(of layer: Int) -> [LayerStage]
  /// Runs one stage of a layer in a session of `stageSession`.
  ///
  /// - Parameters:
  ///   - stage: index in `stages(of: layer)`.
  ///   - layer: index over all stacks.
  ///   - session: holds what the stage reads.
  ///   - modulation: of the layer.
  ///   - row: the row of the modulation that counts for the branch.
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  func run(
    stage: Int, of layer: Int, _ session: Session, _ modulation: LayerModulation, row: Int,
    on device: any ComputeDevice
  ) throws(ComputeError)
  /// The network's output for the branch of a session of `stageSession`.
  ///
  /// - Parameters:
  ///   - latents: what was embedded; its values do not count.
  ///   - session: whose tokens have passed all layers.
  ///   - modulation: see `finalModulation`.
  ///   - row: the row of it that counts.
  ///   - device: where to compute.
  /// - Returns: the prediction.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  func project(
    _ latents: Latents, _ session: Session, _ modulation: Matrix, row: Int,
    on device: any ComputeDevice
  ) throws(ComputeError) -> Latents

  /// How much the rows that enter a weight count when it is calibrated: as far as they can reach
  /// the picture. A row that stands for several counts as often.
  ///
  /// - Parameters:
  ///   - weight: our name of it.
  ///   - layer: that it is of.
  ///   - session: of `stageSession`.
  /// - Returns: a number above 0 for each row that enters it.
  func rowWeights(of weight: String, in layer: Int, _ session: Session) -> [Float]
}

/// Products of a layer that do not depend on each other, and what comes of them.
package struct LayerStage: Sendable {
  /// Which of a session's matrices it reads.
  package let reads: [Int]
  /// Which of them it writes, for stages or layers after it.
  package let writes: [Int]

  package init(reads: [Int], writes: [Int]) {
    self.reads = reads
    self.writes = writes
  }
}
