import Diffusion
import Foundation
import StrictJSON
import TestSupport
import Testing

/// Samplers beside diffusers' on a model of one line (tools/reference/make_samplers.py).
@Suite("Samplers") struct SamplerTests {
  /// One run of the fixture.
  private struct Row {
    let name: String
    let sampler: SamplerName
    let run: SampledRun
    let predictsVelocity: Bool
    let startFactor, endFactor: Double
    let result: [Double]

    init(_ json: JSONValue) throws {
      func numbers(_ key: String) throws -> [Double] {
        try #require(json[key]?.arrayValue).compactMap(\.doubleValue)
      }
      name =
        "\(try #require(json["name"]?.stringValue)), \(try #require(json["steps"]?.integerValue))"
      sampler = try #require((json["sampler"]?.stringValue).flatMap { SamplerName(named: $0) })
      run = SampledRun(
        mixture: json["mixture"]?.stringValue == "flow" ? .flow : .varianceExploding,
        sigmas: try numbers("sigmas").map { Float($0) },
        timesteps: try numbers("timesteps").map { Float($0) })
      predictsVelocity = json["prediction"]?.stringValue == "velocity"
      startFactor = try #require(json["start_factor"]?.doubleValue)
      endFactor = try #require(json["end_factor"]?.doubleValue)
      result = try numbers("result")
    }

    /// dx/dσ as the model of one line has it: its output, or by way of the picture from a velocity.
    func derivative(_ latents: Latents, _ level: Int) -> Latents {
      let sigma = run.sigmas[level]
      let scale = run.mixture == .flow ? 1 : 1 / (sigma * sigma + 1).squareRoot()
      return latents.with(
        latents.values.map { x in
          let input = x * scale
          let output = 0.3 * input + 0.1 * sin(input + 0.001 * run.timesteps[level])
          guard predictsVelocity else { return output }
          let picture = x * scale * scale - output * sigma * scale
          return (x - picture) / sigma
        })
    }
  }

  private static func latents(_ values: [Double], factor: Double = 1) -> Latents {
    Latents(
      values.map { Float($0 * factor) }, channels: 1,
      size: LatentSize(height: 1, width: values.count))
  }

  /// Where a run leads from a start.
  private func follow(
    _ row: Row, from start: [Double], _ noises: [[Double]]
  ) -> (values: [Double], evaluations: Int) {
    var latents = [Self.latents(start, factor: row.startFactor)]
    var (sampler, drawn, count) = (row.sampler.sampler(), 0, 0)
    for step in 0..<row.run.stepCount {
      sampler.step(
        &latents, step, of: row.run,
        noise: { _ in
          drawn += 1
          return noises[drawn - 1].map { Float($0) }
        }
      ) { latents, level in
        count += 1
        return latents.map { row.derivative($0, level) }
      }
    }
    return (latents[0].values.map { Double($0) * row.endFactor }, count)
  }

  @Test("every run ends where diffusers' does")
  func references() throws {
    let json = try Fixtures.json("samplers/samplers.json")
    let start = try #require(json["start"]?.arrayValue).compactMap(\.doubleValue)
    let noises = try #require(json["noises"]?.arrayValue).map {
      ($0.arrayValue ?? []).compactMap(\.doubleValue)
    }
    var seen: Set<String> = []
    for json in try #require(json["rows"]?.arrayValue) {
      let row = try Row(json)
      seen.insert("\(row.sampler) \(row.run.mixture)")
      let (values, evaluations) = follow(row, from: start, noises)
      #expect(evaluations == row.sampler.evaluations(steps: row.run.stepCount), "\(row.name)")
      let size = row.result.map(abs).max() ?? 1
      let error = zip(values, row.result).map { abs($0 - $1) }.max() ?? .infinity
      // At σ = 4096 float32 holds the picture to 2e-4; else it is the rounding of up to 30 steps.
      let bound = row.name.contains("zero terminal") ? 1e-4 : 2e-6
      #expect(error <= bound * size, "\(row.name): \(error / size)")
    }
    #expect(seen.count == 13)
  }

  @Test("a sampler goes on where another one of its kind ended, with the same bits")
  func resuming() throws {
    let sigmas: [Float] = [1, 0.8, 0.6, 0.4, 0.2, 0]
    for name in SamplerName.allCases {
      let run = SampledRun(
        mixture: name.fits(.flow) ? .flow : .varianceExploding, sigmas: sigmas,
        timesteps: sigmas.dropLast().map { $0 * 1000 })
      func advance(_ sampler: inout any Sampler, _ latents: inout [Latents], _ steps: Range<Int>) {
        for step in steps {
          sampler.step(&latents, step, of: run, noise: { [0.1 * Float($0 + step), -0.2] }) {
            latents, level in
            latents.map { $0.with($0.values.map { sin(3 * $0) + run.sigmas[level] }) }
          }
        }
      }
      var (whole, expected) = (name.sampler(), [Self.latents([1, -1]), Self.latents([0.5, 2])])
      let start = expected
      advance(&whole, &expected, 0..<run.stepCount)
      for place in 1..<run.stepCount {
        var (first, latents) = (name.sampler(), start)
        advance(&first, &latents, 0..<place)
        let history = first.history
        #expect(history.count == type(of: first).historyCount(after: place), "\(name) \(place)")
        var second = name.sampler()
        second.resume(history, at: place, of: run)
        advance(&second, &latents, place..<run.stepCount)
        #expect(latents == expected, "\(name) \(place)")
      }
    }
  }

  @Test("names of other programs lead to the same samplers, and unknown ones to none")
  func names() {
    for name in SamplerName.allCases { #expect(SamplerName(named: name.rawValue) == name) }
    #expect(SamplerName(named: "dpm++2m") == .dpmpp2M && SamplerName(named: "DPM++ 2M") == .dpmpp2M)
    #expect(SamplerName(named: "Euler a") == .eulerAncestral)
    #expect(SamplerName(named: "uni_pc_bh2") == .uniPC)
    #expect(SamplerName(named: "FlowMatchHeunDiscreteScheduler") == .heun)
    #expect(SamplerName(named: "dpm_fast") == nil && SamplerName(named: "") == nil)
    #expect(!SamplerName.pndm.fits(.flow) && SamplerName.pndm.fits(.varianceExploding))
  }

  @Test("the levels of a run's evaluations are those at which the model is asked")
  func evaluations() {
    for name in SamplerName.allCases where name.fits(.flow) || name == .pndm {
      for steps in [1, 2, 5] {
        let run = SampledRun(
          mixture: name == .pndm ? .varianceExploding : .flow,
          sigmas: (0...steps).map { 0.9 * Float(steps - $0) / Float(steps) },
          timesteps: (0..<steps).map { Float(steps - $0) })
        var latents = [Self.latents([1, -1])]
        var (sampler, asked, wanted) = (name.sampler(), [Int](), [Int]())
        for step in 0..<steps {
          wanted += name.evaluatedLevels(step: step, of: steps)
          sampler.step(&latents, step, of: run, noise: { _ in [0, 0] }) { latents, level in
            asked.append(level)
            return latents
          }
        }
        #expect(asked == wanted, "\(name), \(steps) steps")
      }
    }
  }

  @Test("an ancestral step of a flow keeps the picture's share and the noise's power")
  func ancestral() {
    let run = SampledRun(mixture: .flow, sigmas: [0.8, 0.5, 0], timesteps: [800, 500])
    /// From (1 − σ) c + σ n and a model that knows the picture c, with new noise m.
    func step(_ c: Float, _ n: Float, _ m: Float) -> Float {
      let size = LatentSize(height: 1, width: 1)
      var latents = [Latents([0.2 * c + 0.8 * n], channels: 1, size: size)]
      var sampler = EulerAncestralSampler()
      sampler.step(&latents, 0, of: run, noise: { _ in [m] }) { latents, _ in
        latents.map { $0.with([($0.values[0] - c) / 0.8]) }
      }
      return latents[0].values[0]
    }
    #expect(abs(step(1, 0, 0) - 0.5) < 1e-6)
    let power = step(0, 1, 0) * step(0, 1, 0) + step(0, 0, 1) * step(0, 0, 1)
    #expect(abs(power - 0.25) < 1e-6)
    #expect(step(0, 0, 1) > 0.3)
  }

  @Test("a flow's solvers begin at pure noise with an Euler step")
  func beginnings() {
    let run = SampledRun(mixture: .flow, sigmas: [1, 0.6, 0.3, 0], timesteps: [1000, 600, 300])
    for name in [SamplerName.dpmpp2M, .uniPC] {
      var latents = [Self.latents([1, -1])]
      var sampler = name.sampler()
      sampler.step(&latents, 0, of: run, noise: { _ in [] }) { latents, _ in
        latents.map { $0.with([0.5, 0.25]) }
      }
      // The solvers count a level of 1 as one of 1 − 10⁻⁶.
      for (found, wanted) in zip(latents[0].values, [Float(0.8), -1.1]) {
        #expect(abs(found - wanted) < 1e-5, "\(name)")
      }
    }
  }
}
