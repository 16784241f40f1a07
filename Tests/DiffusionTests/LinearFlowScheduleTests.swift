import Checkpoints
import Diffusion
import StrictJSON
import TestSupport
import Testing

@Suite("levels in equal steps")
struct LinearFlowScheduleTests {
  /// One row of `flux-schedule/sigmas.json`.
  private struct Row {
    let configuration: String
    let tokens: Int
    let steps: Int
    let custom: [Double]?
    let sigmas, timesteps: [UInt32]

    init(_ json: JSONValue) throws {
      configuration = try #require(json["configuration"]?.stringValue)
      tokens = try #require(json["tokens"]?.integerValue)
      steps = try #require(json["steps"]?.integerValue)
      custom = json["custom_sigmas"]?.arrayValue?.compactMap(\.doubleValue)
      func bits(_ key: String) throws -> [UInt32] {
        try #require(json[key]?.arrayValue).compactMap(\.integerValue).map { UInt32($0) }
      }
      sigmas = try bits("sigmas")
      timesteps = try bits("timesteps")
      try #require(sigmas.count == steps + 1 && timesteps.count == steps)
    }
  }

  /// The shift of a configuration; nil for those that are refused.
  private func shift(_ json: JSONValue) -> LevelShift? {
    let isExponential = json["time_shift_type"]?.stringValue.map { $0 == "exponential" } ?? true
    guard isExponential, json["shift_terminal"] == nil else { return nil }
    guard json["use_dynamic_shifting"]?.boolValue == true else {
      return .fixed(json["shift"]?.doubleValue ?? 1)
    }
    return .dynamic(
      DynamicShift(
        base: json["base_shift"]?.doubleValue ?? 0.5,
        maximum: json["max_shift"]?.doubleValue ?? 1.15,
        baseTokens: json["base_image_seq_len"]?.integerValue ?? 256,
        maximumTokens: json["max_image_seq_len"]?.integerValue ?? 4096))
  }

  @Test("levels and times equal diffusers' bit by bit")
  func exact() throws {
    let configurations = try Fixtures.json("flux-schedule/configurations.json")
    let rows = try #require(try Fixtures.json("flux-schedule/sigmas.json").arrayValue).map {
      try Row($0)
    }
    var seen: Set<String> = []
    for row in rows {
      let json = try #require(configurations[row.configuration])
      guard let shift = shift(json) else { continue }
      seen.insert(row.configuration)
      let schedule = LinearFlowSchedule(shift: shift, imageTokens: row.tokens)
      let sigmas = row.custom.map(schedule.sigmas(custom:)) ?? schedule.sigmas(steps: row.steps)
      let name = "\(row.configuration), \(row.tokens) tokens, \(row.steps) steps"
      #expect(sigmas.map(\.bitPattern) == row.sigmas, "\(name)")
      let times = sigmas.dropLast().map { schedule.modelTime(sigma: $0).bitPattern }
      #expect(times == row.timesteps.map { (Float(bitPattern: $0) / 1000).bitPattern }, "\(name)")
    }
    #expect(seen.count == 7)
  }

  @Test("a shift that depends on size is the fixed one of that size")
  func equivalent() {
    let rule = DynamicShift(base: 0.5, maximum: 1.15, baseTokens: 256, maximumTokens: 4096)
    let dynamic = LinearFlowSchedule(shift: .dynamic(rule), imageTokens: 1000)
    let fixed = LinearFlowSchedule(shift: .fixed(dynamic.shift), imageTokens: 1)
    for (left, right) in zip(dynamic.sigmas(steps: 20), fixed.sigmas(steps: 20)) {
      #expect(abs(left - right) <= 2 * left.ulp)
    }
  }
}
