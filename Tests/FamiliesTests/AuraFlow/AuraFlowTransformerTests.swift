import AuraFlowFamily
import Checkpoints
import Networks
import Tensors
import TestSupport
import Testing

@Suite("AuraFlow transformer")
struct AuraFlowTransformerTests {
  private static let cases = ["heads-16", "heads-8", "heads-40", "heads-64", "three-channels"]
  private let pool = ThreadPool(threadCount: 2)

  /// One golden run: latents, text and time with the reference's output.
  private struct Run {
    let latents: [Float]
    let height: Int
    let width: Int
    let text: Matrix
    let padding: Int
    let time: Float
    let output: [Float]

    init(_ golden: Golden, _ name: String) throws {
      latents = try golden.floats("\(name).latents")
      let shape = try golden.shape("\(name).latents")
      height = shape[2]
      width = shape[3]
      let textShape = try golden.shape("\(name).encoder_hidden_states")
      let rows = try golden.floats("\(name).encoder_hidden_states")
      let columns = textShape[2]
      let real = (0..<textShape[1]).filter { row in
        rows[row * columns..<(row + 1) * columns].contains { $0 != 0 }
      }
      padding = textShape[1] - real.count
      text = try Matrix(
        real.flatMap { rows[$0 * columns..<($0 + 1) * columns] }, rows: real.count, columns: columns
      )
      time = try golden.floats("\(name).timestep")[0]
      output = try golden.floats("\(name).output")
    }
  }

  private func velocity(
    _ transformer: AuraFlowTransformer, _ run: Run, collapsingPadding: Bool = true
  ) throws -> [Float] {
    let context = try transformer.context(
      text: run.text, padding: run.padding, collapsingPadding: collapsingPadding, on: pool)
    let modulation = try transformer.modulation(times: [run.time], on: pool)
    let session = try transformer.session(
      [context], height: run.height, width: run.width, modulation: modulation)
    return try transformer.velocities([run.latents], session, step: 0, on: pool)[0]
  }

  @Test("velocities equal diffusers' on odd shapes", arguments: cases)
  func goldens(name: String) throws {
    let fixture = try ComponentFixture(.transformer, "transformer/\(name)")
    let transformer = try AuraFlowTransformer(fixture.source)
    #expect(!fixture.runs.isEmpty)
    for name in fixture.runs {
      let run = try Run(fixture.golden, name)
      #expect(relativeError(try velocity(transformer, run), run.output) < networkTolerance)
    }
  }

  @Test("one row stands for all padding rows", arguments: cases)
  func paddingCollapse(name: String) throws {
    let fixture = try ComponentFixture(.transformer, "transformer/\(name)")
    let transformer = try AuraFlowTransformer(fixture.source)
    var collapsed = 0
    for name in fixture.runs {
      let run = try Run(fixture.golden, name)
      collapsed += run.padding > 1 ? 1 : 0
      let plain = try velocity(transformer, run, collapsingPadding: false)
      #expect(relativeError(try velocity(transformer, run), plain) < networkTolerance)
    }
    #expect(collapsed > 0)
  }

  @Test("modulation of a whole schedule equals that of each step alone")
  func schedule() throws {
    let fixture = try ComponentFixture(.transformer, "transformer/heads-16")
    let transformer = try AuraFlowTransformer(fixture.source)
    let run = try Run(fixture.golden, "run0")
    let context = try transformer.context(text: run.text, padding: run.padding, on: pool)
    func velocity(_ modulation: AuraFlowModulation, step: Int) throws -> [Float] {
      let session = try transformer.session(
        [context], height: run.height, width: run.width, modulation: modulation)
      return try transformer.velocities([run.latents], session, step: step, on: pool)[0]
    }
    let times: [Float] = [1, 0.7, 0.25, 0.003]
    let whole = try transformer.modulation(times: times, on: pool)
    for (step, time) in times.enumerated() {
      let single = try transformer.modulation(times: [time], on: pool)
      let (expected, found) = (
        try velocity(single, step: 0), try velocity(whole, step: step)
      )
      #expect(relativeError(found, expected) < networkTolerance)
    }
  }

  @Test("branches with different prompts go through together as they do alone")
  func branches() throws {
    let fixture = try ComponentFixture(.transformer, "transformer/heads-8")
    let transformer = try AuraFlowTransformer(fixture.source)
    let run = try Run(fixture.golden, "run0")
    let modulation = try transformer.modulation(times: [run.time], on: pool)
    let contexts = try [run.padding, 1, 0].map {
      try transformer.context(
        text: $0 == 1 ? run.text.rows(0..<1) : run.text, padding: $0, on: pool)
    }
    func velocities(_ contexts: [AuraFlowTransformer.Context]) throws -> [[Float]] {
      let session = try transformer.session(
        contexts, height: run.height, width: run.width, modulation: modulation)
      return try transformer.velocities(
        contexts.map { _ in run.latents }, session, step: 0, on: pool)
    }
    let together = try velocities(contexts)
    for (context, expected) in zip(contexts, together) {
      #expect(try velocities([context])[0] == expected)
    }
  }

  @Test("steps after the first allocate next to nothing")
  func stepsReuseMemory() throws {
    let fixture = try ComponentFixture(.transformer, "transformer/heads-8")
    let transformer = try AuraFlowTransformer(fixture.source)
    let run = try Run(fixture.golden, "run0")
    let modulation = try transformer.modulation(times: [run.time, run.time], on: pool)
    let context = try transformer.context(text: run.text, padding: run.padding, on: pool)
    let session = try transformer.session(
      [context, context], height: run.height, width: run.width, modulation: modulation)
    let meters = (AllocationMeter(), AllocationMeter())
    var velocities: [[[Float]]] = []
    for (step, meter) in [meters.0, meters.1].enumerated() {
      try meter.measure { () throws(ComputeError) in
        velocities.append(
          try transformer.velocities([run.latents, run.latents], session, step: step, on: pool))
      }
    }
    #expect(velocities[0] == velocities[1])
    // What goes into the tokens and comes out of them, for one branch at a time, and a row of
    // positions.
    let patches = 8 * run.latents.count + 4 * run.width * transformer.configuration.hiddenSize
    #expect(meters.1.peakBytes <= patches, "\(meters.1.peakBytes)")
    #expect(meters.0.peakBytes > meters.1.peakBytes)
  }

  @Test("frequencies of the time embedding have the reference's bits")
  func frequencies() throws {
    let golden = try #require(
      try Fixtures.json("time-embedding/frequencies.json").arrayValue
    ).compactMap(\.integerValue)
    let bits = AuraFlowTransformer.frequencies(count: 128).map { Int($0.bitPattern) }
    #expect(bits == golden)
  }

  @Test("cancelling ends a pass with an error")
  func cancellation() throws {
    let fixture = try ComponentFixture(.transformer, "transformer/heads-8")
    let transformer = try AuraFlowTransformer(fixture.source)
    let pool = ThreadPool(threadCount: 2)
    pool.cancel()
    #expect(throws: ComputeError.cancelled) {
      _ = try transformer.modulation(times: [1], on: pool)
    }
  }
}
