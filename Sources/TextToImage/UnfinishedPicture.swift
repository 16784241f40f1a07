/// A picture between two steps: what its run needs to go on from there, with the same bits.
///
/// It belongs to one request, model and precision; nothing in it tells which.
public struct UnfinishedPicture: Sendable, Equatable {
  /// Steps that have ended.
  public let step: Int
  /// `[channels, height / f, width / f]`, row-major.
  public let latents: [Float]
  /// What the sampler keeps of earlier steps, each in the shape of the latents.
  public let history: [[Float]]
  /// How often noise was drawn in the steps.
  public let noiseCount: Int

  /// What was kept of a picture.
  public init(step: Int, latents: [Float], history: [[Float]], noiseCount: Int) {
    self.step = step
    self.latents = latents
    self.history = history
    self.noiseCount = noiseCount
  }
}
