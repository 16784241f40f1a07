import StrictJSON
import TextToImage

extension GenerationSettings {
  /// What reports and metadata both say of the settings.
  var commonMembers: [JSONValue.Member] {
    let guidance: [JSONValue.Member] =
      guidance.map { [.init(key: "guidance", value: .double($0))] } ?? []
    return [
      .init(key: "width", value: .integer(width)), .init(key: "height", value: .integer(height)),
      .init(key: "steps", value: .integer(steps)),
      .init(key: "guidanceScale", value: .double(guidanceScale)),
    ] + guidance + (strength.map { [.init(key: "strength", value: .double($0))] } ?? []) + [
      .init(key: "shift", value: .double(shift)),
      .init(key: "maxSequenceLength", value: .integer(maxSequenceLength)),
      .init(key: "sampler", value: .string(sampler.rawValue)),
    ] + choices
  }
}

extension GenerationSettings {
  /// What was asked for beside the usual.
  private var choices: [JSONValue.Member] {
    var members: [JSONValue.Member] = []
    if promptWeights != .off {
      members.append(.init(key: "promptWeights", value: .string(promptWeights.rawValue)))
    }
    if let schedule, schedule != .default {
      members.append(.init(key: "schedule", value: .string(schedule.rawValue)))
    }
    func add(_ key: String, _ values: [Double]?) {
      guard let values else { return }
      members.append(.init(key: key, value: .array(values.map { .double($0) })))
    }
    if let givenSteps { members.append(.init(key: "givenSteps", value: .integer(givenSteps))) }
    add("givenSigmas", givenSigmas)
    add("guidanceSchedule", guidanceSchedule)
    add("guidanceInterval", guidanceInterval.map { [$0.lowerBound, $0.upperBound] })
    if guidanceRescale > 0 {
      members.append(.init(key: "guidanceRescale", value: .double(guidanceRescale)))
    }
    return members
  }
}

extension JSONValue {
  /// A seed: a number, or a text where it is beyond what JSON readers keep.
  static func seed(_ seed: UInt64) -> JSONValue {
    Int(exactly: seed).map { .integer($0) } ?? .string("\(seed)")
  }
}
