/// A scheduler class of diffusers: which sampler its steps are, and what its options have to say
/// for that.
///
/// A family whose models come with further classes adds rows here.
struct SchedulerClass: Sendable {
  /// What an option has to be, as JSON texts.
  struct Option: Sendable {
    let name: String
    let accepted: [String]
    /// Whether the class means something else where the option is not there.
    var isNeeded = false
  }

  /// Where the levels of a number of steps come from.
  enum Levels: Sendable, Equatable {
    /// From the family's pipeline: the class takes what it is handed.
    case family
    /// Evenly in shifted times, shifted again: `FlowMatchSchedule`.
    case evenTimes
    /// Evenly from 1 to the least level of training and one step short of it, then shifted.
    case evenFromOne
    /// Evenly from one least level of training below 1, then shifted.
    case evenBelowOne
  }

  let name: String
  let sampler: SamplerName
  /// How the models that it is for mix noise.
  let mixture: NoiseMixture
  var levels = Levels.family
  /// Whether models are asked at whole timesteps of training.
  var hasWholeTimesteps = false
  var options: [Option] = []

  /// The class of a name whose models mix noise so; else one of that name; nil for others.
  static func named(_ name: String, for mixture: NoiseMixture) -> SchedulerClass? {
    let found = all.filter { $0.name == name }
    return found.first { $0.mixture == mixture } ?? found.first
  }

  /// The class that pipelines of flows are published with.
  static let flowEuler = SchedulerClass(
    name: "FlowMatchEulerDiscreteScheduler", sampler: .euler, mixture: .flow,
    options: [Option(name: "invert_sigmas", accepted: ["false"])])

  /// All that are known, those of flows first.
  static let all: [SchedulerClass] =
    [
      flowEuler,
      SchedulerClass(
        name: "FlowMatchHeunDiscreteScheduler", sampler: .heun, mixture: .flow, levels: .evenTimes),
      SchedulerClass(
        name: "FlowMatchLCMScheduler", sampler: .lcm, mixture: .flow,
        options: [
          Option(name: "invert_sigmas", accepted: ["false"]),
          Option(name: "scale_factors", accepted: ["[]"]),
        ]),
      SchedulerClass(
        name: "UniPCMultistepScheduler", sampler: .uniPC, mixture: .flow, levels: .evenFromOne,
        hasWholeTimesteps: true,
        options: solver + [
          Option(name: "predict_x0", accepted: ["true"]),
          // The class itself takes the others for bh2.
          Option(
            name: "solver_type", accepted: ["\"bh2\"", "\"midpoint\"", "\"heun\"", "\"logrho\""]),
          Option(name: "lower_order_final", accepted: ["true"]),
          Option(name: "disable_corrector", accepted: ["[]"]),
          Option(name: "solver_p", accepted: []),
        ]),
      SchedulerClass(
        name: "DPMSolverMultistepScheduler", sampler: .dpmpp2M, mixture: .flow,
        levels: .evenBelowOne, hasWholeTimesteps: true,
        options: solver + [
          Option(name: "algorithm_type", accepted: ["\"dpmsolver++\""]),
          Option(name: "solver_type", accepted: ["\"midpoint\""]),
          Option(name: "use_lu_lambdas", accepted: ["false"]),
          Option(name: "variance_type", accepted: []),
        ]),
    ]
    + [
      ("EulerDiscreteScheduler", .euler), ("EulerAncestralDiscreteScheduler", .eulerAncestral),
      ("HeunDiscreteScheduler", .heun), ("DDIMScheduler", .ddim), ("PNDMScheduler", .pndm),
      ("LCMScheduler", .lcm),
    ].map { (name: String, sampler: SamplerName) in
      SchedulerClass(name: name, sampler: sampler, mixture: .varianceExploding)
    }

  /// What both solvers have to say for flows. Their levels end in 0, so that the last step is of
  /// first order whatever they say of that.
  private static let solver = [
    Option(name: "use_flow_sigmas", accepted: ["true"], isNeeded: true),
    Option(name: "prediction_type", accepted: ["\"flow_prediction\""], isNeeded: true),
    Option(name: "solver_order", accepted: ["2"]),
    Option(name: "thresholding", accepted: ["false"]),
    Option(name: "final_sigmas_type", accepted: ["\"zero\""]),
    Option(name: "use_karras_sigmas", accepted: ["false"]),
    Option(name: "use_exponential_sigmas", accepted: ["false"]),
    Option(name: "use_beta_sigmas", accepted: ["false"]),
  ]
}
