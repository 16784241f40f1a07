import Foundation
import Machine
import StrictJSON
import TextToImage

/// What `plan` prints.
struct PlanReport {
  let model: String
  let settings: GenerationSettings
  /// One for each budget.
  let plans: [MemoryPlan]
  /// The least budget that works.
  let leastBytes: Int
  /// Of asking the model once; nil without a trial.
  let secondsPerEvaluation: Double?

  /// How often the model is asked for a picture.
  private var evaluations: Double { settings.evaluations.reduce(0, +) }

  /// Tables for a person.
  var text: String {
    var lines = [
      "\(model), \(settings.width)x\(settings.height), \(settings.steps) steps"
        + (settings.seeds.count > 1 ? ", \(settings.seeds.count) pictures" : ""),
      "needs at least \(formattedBytes(leastBytes))", "",
    ]
    lines.append("  memory       peak         weights resident   read per step")
    for plan in plans {
      let steps = plan.repeatedStage
      let budget = plan.budget.map(formattedBytes) ?? "no limit"
      let kept = "\(formattedBytes(steps?.keptBytes ?? 0))".padded(18)
      let read = formattedBytes(steps?.streamedBytes ?? 0)
      lines.append(
        "  \(budget.padded(12)) "
          + (plan.fits
            ? "\(formattedBytes(plan.peakBytes).padded(12)) \(kept) \(read)" : "too little"))
    }
    if settings.seeds.count > 1 {
      let together = plans.filter { $0.fits && $0.picturesAtOnce > 1 }
        .map { $0.budget.map(formattedBytes) ?? "no limit" }
      lines += [
        "",
        "  pictures are made "
          + (together.isEmpty
            ? "one after another"
            : "together with \(together.joined(separator: ", ")), else one after another"),
      ]
    }
    if let plan = plans.last(where: \.fits) {
      lines += ["", "  stages with \(plan.budget.map(formattedBytes) ?? "no limit"):"]
      let width = plan.stages.reduce(13) { max($0, $1.name.count) }
      lines.append(
        "  \("stage".padded(width)) weights      resident     activations  peak")
      for stage in plan.stages {
        let sizes = [
          stage.weightBytes, stage.keptBytes, stage.activationBytes,
          plan.peakBytes(of: stage),
        ]
        lines.append(
          "  \(stage.name.padded(width)) "
            + sizes.map { formattedBytes($0).padded(12) }.joined(separator: " "))
      }
    }
    if let secondsPerEvaluation {
      let seconds = secondsPerEvaluation * evaluations
      lines += [
        "",
        String(
          format: "  about %.1f s of compute per step, %@ for all %d%@", seconds / steps,
          formattedDuration(seconds * Double(settings.seeds.count)), settings.steps,
          settings.seeds.count > 1 ? " of \(settings.seeds.count) pictures" : ""),
      ]
      if evaluations != steps {
        lines.append(
          String(
            format: "  the steps ask the model %g times, %.1f s each (sampler %@)", evaluations,
            secondsPerEvaluation, settings.sampler.rawValue))
      }
    }
    return lines.joined(separator: "\n")
  }

  private var steps: Double { Double(max(1, settings.steps)) }

  /// The same as data.
  var json: JSONValue {
    .object(
      [
        .init(key: "model", value: .string(model)),
        .init(key: "width", value: .integer(settings.width)),
        .init(key: "height", value: .integer(settings.height)),
        .init(key: "steps", value: .integer(settings.steps)),
        .init(key: "leastBytes", value: .integer(leastBytes)),
      ]
        + [
          .init(key: "sampler", value: .string(settings.sampler.rawValue)),
          .init(key: "evaluations", value: .double(evaluations)),
        ] + timing
        + [.init(key: "plans", value: .array(plans.map(json)))])
  }

  private var timing: [JSONValue.Member] {
    guard let secondsPerEvaluation else { return [] }
    let seconds = secondsPerEvaluation * evaluations
    return [
      .init(key: "secondsPerEvaluation", value: .double(secondsPerEvaluation)),
      .init(key: "secondsPerStep", value: .double(seconds / steps)),
      .init(key: "secondsPerPicture", value: .double(seconds)),
    ]
  }

  private func json(_ plan: MemoryPlan) -> JSONValue {
    let stages: [JSONValue] = plan.stages.map { stage in
      [
        "name": .string(stage.name), "weightBytes": .integer(stage.weightBytes),
        "keptBytes": .integer(stage.keptBytes), "streamedBytes": .integer(stage.streamedBytes),
        "activationBytes": .integer(stage.activationBytes),
      ]
    }
    return .object([
      .init(key: "budgetBytes", value: plan.budget.map { .integer($0) } ?? .null),
      .init(key: "fits", value: .bool(plan.fits)),
      .init(key: "picturesAtOnce", value: .integer(plan.picturesAtOnce)),
      .init(key: "peakBytes", value: .integer(plan.peakBytes)),
      .init(key: "baseBytes", value: .integer(plan.baseBytes)),
      .init(key: "stages", value: .array(stages)),
    ])
  }
}

extension String {
  /// With spaces behind, up to a width.
  fileprivate func padded(_ width: Int) -> String {
    count >= width ? self : self + String(repeating: " ", count: width - count)
  }
}
