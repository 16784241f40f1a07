import Compute

/// Predicts, from noisy latents, a prompt and a time, where the picture lies.
///
/// A run calls `prepare` once, `session` for each group of pictures that go through the steps
/// together, and `predict` at each step.
package protocol Denoiser: Sendable {
  associatedtype Conditioning: Sendable
  /// What all pictures of a run have in common: prompts, and everything that no latents change.
  associatedtype Prepared: Sendable
  /// Memory for the steps of some pictures.
  associatedtype Session: Sendable

  var geometry: LatentGeometry { get }
  /// Whether the strength of guidance is an input of the network: it was distilled from one that
  /// needs a second prediction for it.
  var isGuidanceDistilled: Bool { get }
  /// What is read once for a schedule.
  var scheduleStages: [WeightStage] { get }
  /// What each step reads.
  var stepStage: WeightStage { get }

  /// Evaluates what depends on times, prompts and guidance, and on no latents.
  ///
  /// - Parameters:
  ///   - prompts: all that take part.
  ///   - times: the network's times of all steps, 1 (noise) to 0.
  ///   - guidance: strength of the distilled guidance; nil where there is none.
  ///   - size: of the latents.
  ///   - device: where to compute.
  /// - Returns: what `session` takes.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  func prepare(
    _ prompts: [Conditioning], times: [Float], guidance: Float?, size: LatentSize,
    on device: any ComputeDevice
  ) throws(ComputeError) -> Prepared

  /// Allocates memory for the steps of some pictures.
  ///
  /// - Parameters:
  ///   - prepared: what they have in common.
  ///   - prompts: of each branch, which is a picture with one of its prompts, the prompt's index.
  ///   - device: where to compute.
  /// - Returns: what `predict` takes.
  /// - Throws: `ComputeError` if memory runs out.
  func session(
    _ prepared: Prepared, prompts: [Int], on device: any ComputeDevice
  ) throws(ComputeError) -> Session

  /// The network's output for some branches of a session.
  ///
  /// - Parameters:
  ///   - latents: of each, in the session's order.
  ///   - session: made for these pictures; one step at a time.
  ///   - time: index of the time in the schedule.
  ///   - first: the branch that `latents` begin with; others are not computed.
  ///   - device: where to compute.
  /// - Returns: as many predictions, in the same order.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  func predict(
    _ latents: [Latents], _ session: Session, time: Int, from first: Int,
    on device: any ComputeDevice
  ) throws(ComputeError) -> [Latents]

  // MARK: Calibration

  /// Whether what enters the modulation depends on prompts, not on time and guidance alone.
  var modulationReadsPrompts: Bool { get }
  /// The rows that enter all matrices whose role is modulation: the same for each of them.
  ///
  /// - Parameters:
  ///   - prompts: those that count; none are needed where the modulation does not read them.
  ///   - times: the network's times, 1 (noise) to 0.
  ///   - guidance: strength of the distilled guidance; nil where there is none.
  ///   - device: where to compute.
  /// - Returns: `[times · prompts, columns]`, or `[times, columns]` where prompts do not count.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  func modulationInputs(
    _ prompts: [Conditioning], times: [Float], guidance: Float?, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix

  // MARK: Measuring

  /// What a usual step has to do: tokens of a branch's text, with those that say nothing but are
  /// computed, and branches of guidance.
  var usualWork: (textTokens: Int, branches: Int) { get }
  /// Layers of each stack.
  var layerCounts: [Int] { get }
  /// Rows of the residual stream for latents of a size and a text of some tokens.
  func rowCounts(_ size: LatentSize, textTokens: Int) -> (image: Int, context: Int)
  /// A prompt of some tokens that says nothing.
  func blankConditioning(
    textTokens: Int, on device: any ComputeDevice
  ) throws(ComputeError) -> Conditioning
  /// Passes a few tokens through one of the layers that most of a step's time goes to, so that the
  /// time of a step can be told from that of a layer. Called several times with equal work.
  func passTrialLayer(on device: any ComputeDevice) throws(ComputeError)
}

extension Denoiser {
  /// The network's output for all branches.
  package func predict(
    _ latents: [Latents], _ session: Session, time: Int, on device: any ComputeDevice
  ) throws(ComputeError) -> [Latents] {
    try predict(latents, session, time: time, from: 0, on: device)
  }
}
