import Compute
import ComputeCPU
import Diffusion

extension Pipeline {
  /// How long a step of one picture will take, judged by a short trial of one layer.
  ///
  /// Of a step and of the trial the multiplications of products and of attention are counted; the
  /// trial's time of each is scaled by them.
  ///
  /// - Throws: `GenerationError` if the weights cannot be read or memory runs out.
  public func expectedSecondsPerStep(
    for settings: GenerationSettings
  ) throws(GenerationError) -> Double {
    func seconds<Model: DiffusionModel>(_ model: Model) throws(ComputeError) -> Double {
      let request = PreparedRequest(model, settings)
      let step = try demands(of: request, picturesAtOnce: 1).stepWork
      let rehearsal = RehearsalDevice(of: device())
      try model.denoiser.passTrialLayer(on: rehearsal)
      let trial = try trialSeconds(of: model.denoiser)
      let work = rehearsal.work
      return step.products / max(1, work.products) * trial.products
        + step.attention / max(1, work.attention) * trial.attention
    }
    do throws(ComputeError) {
      return try seconds(model)
    } catch {
      throw GenerationError(error)
    }
  }

  /// The best of three trials after a first one that reads the weights. What is neither products
  /// nor attention grows with the tokens, as products do.
  private func trialSeconds(
    of denoiser: some Denoiser
  ) throws(ComputeError) -> (products: Double, attention: Double) {
    var best = (products: Double.infinity, attention: Double.infinity)
    for trial in 0..<4 {
      let profile = WorkProfile()
      let device = device(observer: profile)
      let start = ContinuousClock.now
      try denoiser.passTrialLayer(on: device)
      guard trial > 0 else { continue }
      let attention = profile.seconds[.attention] ?? 0
      let all = (ContinuousClock.now - start) / .seconds(1)
      best = (min(best.products, all - attention), min(best.attention, attention))
    }
    return best
  }
}
