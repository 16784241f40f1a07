import Checkpoints
import Diffusion
import Foundation
import ModelCatalog
import ModelFiles
import StrictJSON
import TestSupport
import Testing

/// Scheduler configurations of models' folders beside diffusers' classes
/// (tools/reference/make_model_schedulers.py).
@Suite("A model's scheduler") struct ModelSchedulerTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A configuration as a file.
  private func file(_ json: String) throws -> ConfigurationFile {
    let path = try folder.write(Array(json.utf8), to: "scheduler_config.json")
    return try ConfigurationFile(path: path)
  }

  private func scheduler(_ json: String) throws -> ModelScheduler {
    try ModelScheduler(try file(json), for: .flow)
  }

  /// One run of the fixture.
  private struct Row {
    let name: String
    let isLinear: Bool
    let steps: Int
    let sigmas, timesteps, result: [Double]

    init(_ json: JSONValue) throws {
      func numbers(_ key: String) throws -> [Double] {
        try #require(json[key]?.arrayValue).compactMap(\.doubleValue)
      }
      name = try #require(json["name"]?.stringValue)
      isLinear = json["pipeline"]?.stringValue == "linear"
      steps = try #require(json["steps"]?.integerValue)
      sigmas = try numbers("sigmas")
      timesteps = try numbers("timesteps")
      result = try numbers("result")
    }
  }

  /// The shift that a configuration asks for.
  private func shift(_ json: JSONValue) throws -> LevelShift {
    let text = json.text()
    let family = try #require(FamilyCatalog.known.families.first { $0.architecture == "flux" })
    return try ScheduleFacts(
      try file(text), nil, of: family, published: family.defaults { _ in true }
    ).shift
  }

  private static func latents(_ values: [Double]) -> Latents {
    Latents(
      values.map { Float($0) }, channels: 1, size: LatentSize(height: 1, width: values.count))
  }

  /// Where a sampler leads on the model of one line.
  private func follow(
    _ name: SamplerName, _ run: SampledRun, from start: [Double], _ noises: [[Double]]
  ) -> [Double] {
    var latents = [Self.latents(start)]
    var (sampler, drawn) = (name.sampler(), 0)
    for step in 0..<run.stepCount {
      sampler.step(
        &latents, step, of: run,
        noise: { _ in
          drawn += 1
          return noises[drawn - 1].map { Float($0) }
        }
      ) { latents, level in
        latents.map { latents in
          latents.with(
            latents.values.map { 0.3 * $0 + 0.1 * sin($0 + 0.001 * run.timesteps[level]) })
        }
      }
    }
    return latents[0].values.map { Double($0) }
  }

  @Test("levels, times and results equal diffusers'")
  func references() throws {
    let json = try Fixtures.json("model-schedulers/runs.json")
    let samplers = try Fixtures.json("samplers/samplers.json")
    let start = try #require(samplers["start"]?.arrayValue).compactMap(\.doubleValue)
    let noises = try #require(samplers["noises"]?.arrayValue).map {
      ($0.arrayValue ?? []).compactMap(\.doubleValue)
    }
    let tokens = try #require(json["tokens"]?.integerValue)
    let configurations = try #require(json["configurations"])
    var seen: Set<String> = []
    for json in try #require(json["rows"]?.arrayValue) {
      let row = try Row(json)
      let stated = try #require(configurations[row.name])
      let scheduler = try scheduler(stated.text())
      let shift = try shift(stated)
      let name = "\(row.name), \(row.isLinear ? "linear" : "even"), \(row.steps) steps"
      try #require(scheduler.fault == nil, "\(name)")
      let family: any NoiseSchedule =
        row.isLinear
        ? LinearFlowSchedule(shift: shift, imageTokens: tokens)
        : FlowMatchSchedule(shift: shift.factor(imageTokens: tokens))
      let schedule = family.configured(by: scheduler.levels)
      let sigmas = schedule.sigmas(steps: row.steps)
      try #require(sigmas.count == row.sigmas.count, "\(name)")
      // Ends of a spread were rounded to float32 once more here than there. What is stretched is
      // the distance from 1, with its rounding.
      let least: Float = row.name.contains("terminal") ? 2 * Float(1).ulp : 0
      func isNear(_ found: Float, _ wanted: Double, unit: Float) -> Bool {
        abs(found - Float(wanted)) <= max(4 * Float(wanted).ulp, least * unit)
      }
      for (found, wanted) in zip(sigmas, row.sigmas) {
        #expect(isNear(found, wanted, unit: 1), "\(name): \(found) for \(wanted)")
      }
      let run = schedule.run(sigmas)
      let times = sigmas.dropLast().map { 1000 * schedule.modelTime(sigma: $0) }
      for (found, wanted) in zip(zip(run.timesteps, times), row.timesteps) {
        #expect(isNear(found.0, wanted, unit: 1000), "\(name): \(found.0) for \(wanted)")
        #expect(isNear(found.1, wanted, unit: 1000), "\(name): \(found.1) for \(wanted)")
      }
      let size = row.result.map(abs).max() ?? 1
      let values = follow(scheduler.sampler, run, from: start, noises)
      let error = zip(values, row.result).map { abs($0 - $1) }.max() ?? .infinity
      // The rounding of up to 30 steps, as of samplers by themselves.
      #expect(error <= 2e-6 * size, "\(name): \(error / size)")
      seen.insert(row.name)
    }
    #expect(seen.count == 16)
  }

  private static let solver =
    #""use_flow_sigmas": true, "prediction_type": "flow_prediction""#

  @Test(
    "what is not supported is named with its value",
    arguments: [
      (#""_class_name": "EulerDiscreteScheduler""#, "is for models that predict noise"),
      (#""_class_name": "SASolverScheduler""#, "SASolverScheduler is not known"),
      (#""invert_sigmas": true"#, "'invert_sigmas' of FlowMatchEulerDiscreteScheduler is true"),
      (#""_class_name": "UniPCMultistepScheduler""#, "'use_flow_sigmas' of UniPC"),
      (
        #""_class_name": "UniPCMultistepScheduler", "solver_order": 3, "# + solver,
        "'solver_order' of UniPCMultistepScheduler is 3, supported is 2"
      ),
      (
        #""_class_name": "UniPCMultistepScheduler", "solver_type": "bh1", "# + solver,
        #"'solver_type' of UniPCMultistepScheduler is "bh1""#
      ),
      (
        #""_class_name": "UniPCMultistepScheduler", "use_karras_sigmas": true, "# + solver,
        "'use_karras_sigmas'"
      ),
      (
        #""_class_name": "UniPCMultistepScheduler", "disable_corrector": [0], "# + solver,
        "'disable_corrector' of UniPCMultistepScheduler is [0]"
      ),
      (
        #""_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++", "#
          + solver, "'algorithm_type' of DPMSolverMultistepScheduler"
      ),
      (
        #""_class_name": "DPMSolverMultistepScheduler", "final_sigmas_type": "sigma_min", "#
          + solver, "'final_sigmas_type'"
      ),
      (
        #""_class_name": "FlowMatchLCMScheduler", "scale_factors": [0.5]"#, "'scale_factors'"
      ),
    ])
  func faults(_ members: String, _ words: String) throws {
    let found = try scheduler("{\(members)}")
    let fault = try #require(found.fault)
    #expect(fault.contains(words), "\(fault)")
    #expect(!found.isUsual)
    // Another sampler has nothing to do with it.
    #expect(found.levels(for: .euler) == SchedulerLevels())
  }

  @Test(
    "values of the wrong kind are malformed",
    arguments: [
      #"{"use_karras_sigmas": "yes"}"#, #"{"stochastic_sampling": 1}"#,
      #"{"shift_terminal": 1}"#, #"{"shift_terminal": "0.1"}"#, #"{"num_train_timesteps": 0}"#,
      #"{"use_karras_sigmas": true, "use_beta_sigmas": true}"#,
    ])
  func malformed(_ json: String) {
    #expect(throws: ModelFileError.self) { try scheduler(json) }
  }

  @Test("Python's words for numbers, which diffusers writes, are no fault of a file")
  func infinity() throws {
    let json =
      #"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity, "#
      + #""note": "\"-Infinity NaN\\", "x": [NaN, Infinity], \#(Self.solver)}"#
    let path = try folder.write(Array(json.utf8), to: "python.json")
    let file = try #require(try ConfigurationFile.scheduler(path))
    #expect(file.json["lambda_min_clipped"]?.isNull == true)
    #expect(file.json["note"]?.stringValue == #""-Infinity NaN\"#)
    #expect(try ModelScheduler(file, for: .flow).fault == nil)
    let faulty = try folder.write(Array(#"{"a": -Infinit}"#.utf8), to: "faulty.json")
    #expect(throws: ModelFileError.self) { try ConfigurationFile.scheduler(faulty) }
  }

  @Test("options that are off or null say nothing")
  func off() throws {
    let found = try scheduler(
      #"{"use_karras_sigmas": null, "invert_sigmas": false, "shift_terminal": null}"#)
    #expect(found.isUsual && found.fault == nil && found.sampler == .euler)
    #expect(found.levels == SchedulerLevels())
  }

  @Test("another sampler keeps the spread, and leaves a class's own levels and times")
  func otherSampler() throws {
    let found = try scheduler(
      #"{"_class_name": "UniPCMultistepScheduler", "shift_terminal": 0.1, \#(Self.solver)}"#)
    #expect(found.sampler == .uniPC && found.levels.hasWholeTimesteps)
    #expect(found.levels(for: .uniPC) == found.levels)
    let other = found.levels(for: .euler)
    #expect(!other.hasWholeTimesteps && other != found.levels && other != SchedulerLevels())
  }
}
