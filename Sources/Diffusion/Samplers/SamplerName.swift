/// How latents are taken from one noise level to the next.
public enum SamplerName: String, Sendable, CaseIterable {
  /// Euler's steps.
  case euler
  /// Euler's steps with new noise in each.
  case eulerAncestral = "euler_a"
  /// Heun's steps: twice the time, second order.
  case heun
  /// DPM-Solver++ of second order, multi-step.
  case dpmpp2M = "dpmpp_2m"
  /// UniPC of second order.
  case uniPC = "unipc"
  /// Denoising diffusion implicit models.
  case ddim
  /// Pseudo linear multi-step.
  case pndm
  /// Latent consistency: the predicted picture with new noise.
  case lcm

  /// Names of other programs.
  private static let aliases: [String: SamplerName] = [
    "euler_ancestral": .eulerAncestral, "k_euler": .euler, "k_euler_a": .eulerAncestral,
    "k_heun": .heun, "dpm++2m": .dpmpp2M, "dpm++_2m": .dpmpp2M, "dpm++2mv2": .dpmpp2M,
    "dpmpp2m": .dpmpp2M, "k_dpmpp_2m": .dpmpp2M, "uni_pc": .uniPC, "uni_pc_bh2": .uniPC,
    "plms": .pndm, "ddim_trailing": .ddim,
    "eulerdiscretescheduler": .euler, "flowmatcheulerdiscretescheduler": .euler,
    "eulerancestraldiscretescheduler": .eulerAncestral, "heundiscretescheduler": .heun,
    "flowmatchheundiscretescheduler": .heun, "flowmatchlcmscheduler": .lcm,
    "dpmsolvermultistepscheduler": .dpmpp2M,
    "unipcmultistepscheduler": .uniPC, "ddimscheduler": .ddim, "pndmscheduler": .pndm,
    "lcmscheduler": .lcm,
  ]

  /// A sampler by its name here, in stable-diffusion.cpp, ComfyUI or diffusers, in any case.
  public init?(named name: String) {
    let plain = name.lowercased().split(separator: " ").joined(separator: "_")
      .split(separator: "-").joined(separator: "_")
    guard let found = Self(rawValue: plain) ?? Self.aliases[plain] else { return nil }
    self = found
  }

  /// Whether the sampler is for models that mix noise so.
  package func fits(_ mixture: NoiseMixture) -> Bool {
    self != .pndm || mixture == .varianceExploding
  }

  /// The levels at which a step of a run asks the model, by their index.
  package func evaluatedLevels(step: Int, of steps: Int) -> [Int] {
    switch self {
    case .heun where step + 1 < steps: [step, step + 1]
    case .pndm where step == 0 && steps > 1: [0, 1]
    default: [step]
    }
  }

  /// How often a run of some steps asks the model.
  package func evaluations(steps: Int) -> Int {
    (0..<steps).reduce(0) { $0 + evaluatedLevels(step: $1, of: steps).count }
  }

  /// Copies of a picture's latents that are there at once beside those of an Euler step, about.
  package var keptLatents: Int {
    switch self {
    case .euler, .ddim: 0
    case .eulerAncestral, .lcm: 1
    case .heun, .dpmpp2M: 3
    case .uniPC, .pndm: 5
    }
  }

  /// Copies of a picture's latents that are needed to go on after some steps, beside the latents.
  package func historyCount(after steps: Int) -> Int {
    type(of: sampler()).historyCount(after: steps)
  }

  /// One for a run.
  package func sampler() -> any Sampler {
    switch self {
    // Without noise of its own DDIM's step is Euler's, by what the model says of the noise.
    case .euler, .ddim: EulerSampler()
    case .eulerAncestral: EulerAncestralSampler()
    case .heun: HeunSampler()
    case .dpmpp2M: DPMSolverSampler()
    case .uniPC: UniPCSampler()
    case .pndm: PNDMSampler()
    case .lcm: LCMSampler()
    }
  }
}
