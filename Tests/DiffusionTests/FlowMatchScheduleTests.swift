import Diffusion
import StrictJSON
import TestSupport
import Testing

@Suite struct FlowMatchScheduleTests {
  /// One row of `scheduler/sigmas.json`.
  struct Row: Sendable, CustomTestStringConvertible {
    let shift: Double
    let steps: Int
    let custom: [Double]?
    let sigmas: [UInt32]
    let timesteps: [UInt32]

    var testDescription: String {
      "shift \(shift), \(custom.map { "levels \($0)" } ?? "\(steps) steps")"
    }

    init(_ json: JSONValue) throws {
      shift = try #require(json["shift"]?.doubleValue)
      steps = try #require(json["steps"]?.integerValue)
      custom = json["custom_sigmas"]?.arrayValue?.compactMap(\.doubleValue)
      func bits(_ key: String) throws -> [UInt32] {
        try #require(json[key]?.arrayValue).compactMap(\.integerValue).map { UInt32($0) }
      }
      sigmas = try bits("sigmas")
      timesteps = try bits("timesteps")
      try #require(sigmas.count == steps + 1 && timesteps.count == steps)
    }

    static func all() throws -> [Row] {
      try #require(try Fixtures.json("scheduler/sigmas.json").arrayValue).map { try Row($0) }
    }
  }

  @Test("Sigmas equal those of diffusers bit by bit")
  func sigmasAreExact() throws {
    let rows = try Row.all()
    #expect(rows.contains { $0.custom != nil } && rows.contains { $0.custom == nil })
    for row in rows {
      let scheduler = FlowMatchSchedule(shift: row.shift)
      let sigmas = row.custom.map(scheduler.sigmas(custom:)) ?? scheduler.sigmas(steps: row.steps)
      #expect(sigmas.map(\.bitPattern) == row.sigmas, "\(row.testDescription)")
    }
  }

  @Test("The network's time equals the reference's timestep through 1000, bit by bit")
  func modelTimesAreExact() throws {
    for row in try Row.all() {
      let scheduler = FlowMatchSchedule(shift: row.shift)
      let times = row.sigmas.dropLast().map {
        scheduler.modelTime(sigma: Float(bitPattern: $0)).bitPattern
      }
      let expected = row.timesteps.map { (Float(bitPattern: $0) / 1000).bitPattern }
      #expect(times == expected, "\(row.testDescription)")
    }
  }

  @Test(
    "Any number of steps gives falling levels from one to zero", arguments: [1, 2, 3, 50, 1000])
  func levelsFall(_ steps: Int) {
    let sigmas = FlowMatchSchedule(shift: 1.73).sigmas(steps: steps)
    #expect(sigmas.count == steps + 1)
    #expect(sigmas.first == 1)
    #expect(sigmas.last == 0)
    #expect(zip(sigmas, sigmas.dropFirst()).allSatisfy { $0 > $1 })
  }
}
