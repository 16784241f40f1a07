import Diffusion
import Foundation
import StrictJSON
import TestSupport
import Testing

/// Schedules by name, beside values of ComfyUI's functions and diffusers' schedulers.
@Suite("Schedules by name") struct ScheduleNameTests {
  private static let tables: [String: SigmaTable] = [
    "eps": .stableDiffusion, "sd3": SigmaTable(shift: 3, count: 1000),
    "aura": SigmaTable(shift: 1.73, count: 1000),
    "flux": SigmaTable(shift: exp(1.15), count: 10_000),
  ]

  @Test("levels fall from the largest of training to 0, in as many steps as were asked for")
  func shapes() throws {
    for (name, table) in Self.tables {
      for schedule in ScheduleName.allCases where schedule != .default {
        for steps in [1, 2, 3, 7, 20, 50, 1000] {
          let sigmas = try #require(schedule.sigmas(steps: steps, table))
          let what = "\(name) \(schedule) \(steps)"
          #expect(
            sigmas.last == 0 && zip(sigmas, sigmas.dropFirst()).allSatisfy { $0 > $1 }, "\(what)")
          #expect(
            sigmas.allSatisfy { $0.isFinite && $0 <= Float(table.largest) * 1.000001 }, "\(what)")
          if schedule != .ddimUniform {
            #expect(abs(Double(sigmas[0]) / table.largest - 1) < 1e-6, "\(what)")
          }
          // Quantiles may coincide, and steps need not divide the levels.
          if ![.beta, .ddimUniform].contains(schedule) {
            #expect(sigmas.count == steps + 1, "\(what)")
          }
        }
      }
    }
    #expect(ScheduleName.default.sigmas(steps: 4, .stableDiffusion) == nil)
  }

  @Test(
    "levels are those of ComfyUI",
    .enabled(if: Fixtures.extraData != nil, Comment(rawValue: Fixtures.extraDataReason)))
  func comfy() throws {
    let folder = try #require(Fixtures.extraData)
    let text = try String(
      contentsOf: folder.appendingPathComponent("families/schedules.json"), encoding: .utf8)
    let json = try JSONValue(parsing: text)
    var count = 0
    for member in json["comfyui_kinds"]?.members ?? [] {
      let words = member.key.split(separator: "/").map(String.init)
      let (table, schedule, steps) = (
        try #require(Self.tables[words[0]]), try #require(ScheduleName(named: words[1])),
        try #require(Int(words[2]))
      )
      let wanted = (member.value.arrayValue ?? []).compactMap(\.doubleValue)
      let found = try #require(schedule.sigmas(steps: steps, table))
      #expect(found.count == wanted.count, "\(member.key)")
      for (left, right) in zip(found, wanted) {
        // Stored in float32, and computed in it by the reference.
        #expect(
          abs(Double(left) - right) <= 4e-6 * max(right, 0.01), "\(member.key): \(left) \(right)")
      }
      count += 1
    }
    #expect(count >= 60)
  }

  @Test("the levels of Stable Diffusion are those that diffusers computes")
  func discrete() {
    let table = SigmaTable.stableDiffusion
    // diffusers multiplies in float32.
    #expect(abs(table.least / 0.029167533 - 1) < 2e-5)
    #expect(abs(table.largest / 14.614647 - 1) < 1e-6)
    let leading = DiscreteSchedule(spacing: .leading)
    #expect(leading.timesteps(steps: 4) == [751, 501, 251, 1])
    for (found, wanted) in zip(
      leading.sigmas(steps: 4), [4.1166983, 1.623693, 0.6983986, 0.04131448, 0] as [Float])
    {
      #expect(abs(found - wanted) <= 2e-6 * max(1, wanted))
    }
    #expect(DiscreteSchedule(spacing: .trailing).timesteps(steps: 4) == [999, 749, 499, 249])
    #expect(DiscreteSchedule(spacing: .linear).timesteps(steps: 4) == [999, 666, 333, 0])
    let first = DiscreteSchedule(spacing: .leading, endsAtFirstLevel: true).sigmas(steps: 2).last
    #expect(first == Float(table.least))
    // Karras' levels lie between timesteps.
    #expect(abs(leading.timestep(sigma: 1.2087778) - 411.41537) < 1e-2)
  }
}
