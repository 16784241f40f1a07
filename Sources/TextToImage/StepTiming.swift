import Compute
import ComputeCPU
import Diffusion

extension Pipeline {
  /// How long asking the model once for one picture will take, with guidance where the request has
  /// it, judged by a short trial of one layer. `GenerationSettings.evaluations` are how often steps
  /// do that.
  ///
  /// - Throws: `GenerationError` if the weights cannot be read or memory runs out.
  public func expectedSecondsPerStep(
    for settings: GenerationSettings
  ) throws(GenerationError) -> Double {
    try expectedSeconds(for: settings).step
  }

  /// How long encoding the prompts and a step of one picture will take.
  ///
  /// Of both and of a trial of one of the denoiser's layers the multiplications of products and of
  /// attention are counted; the trial's time of each is scaled by them.
  ///
  /// - Throws: `GenerationError` if the weights cannot be read or memory runs out.
  package func expectedSeconds(
    for settings: GenerationSettings
  ) throws(GenerationError) -> (texts: Double, step: Double) {
    func seconds<Model: DiffusionModel>(
      _ model: Model
    ) throws(ComputeError) -> (texts: Double, step: Double) {
      let demands = try demands(of: PreparedRequest(model, settings))
      let rehearsal = RehearsalDevice(of: device())
      try model.denoiser.passTrialLayer(on: rehearsal)
      let trial = try trialSeconds(of: model.denoiser)
      let work = rehearsal.work
      func scaled(_ other: RehearsalDevice.Work) -> Double {
        other.products / max(1, work.products) * trial.products
          + other.attention / max(1, work.attention) * trial.attention
      }
      return (scaled(demands.textWork), scaled(demands.stepWork))
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
