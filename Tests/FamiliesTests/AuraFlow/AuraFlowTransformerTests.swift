import AuraFlowFamily
import Checkpoints
import Compute
import ComputeCPU
import Diffusion
import Machine
import Networks
import TestSupport
import Testing

@Suite("AuraFlow transformer")
struct AuraFlowTransformerTests {
  private static let cases = ["heads-16", "heads-8", "heads-40", "heads-64", "three-channels"]
  private let device = CPUDevice(threadCount: 2)

  /// One golden run: latents, text and time with the reference's output.
  private struct Run {
    let latents: Latents
    let text: Matrix
    let padding: Int
    let time: Float
    let output: [Float]

    init(_ golden: Golden, _ name: String) throws {
      let shape = try golden.shape("\(name).latents")
      latents = Latents(
        try golden.floats("\(name).latents"), channels: shape[1],
        size: LatentSize(height: shape[2], width: shape[3]))
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
      text: run.text, padding: run.padding, collapsingPadding: collapsingPadding, on: device)
    return try velocities(transformer, [context], run, times: [run.time], step: 0)[0].values
  }

  /// Velocities of a run's latents under some contexts.
  private func velocities(
    _ transformer: AuraFlowTransformer, _ contexts: [AuraFlowTransformer.Context], _ run: Run,
    times: [Float], step: Int
  ) throws -> [Latents] {
    let prepared = try transformer.prepare(
      contexts, times: times, guidance: nil, size: run.latents.size, on: device)
    let session = try transformer.session(
      prepared, prompts: Array(contexts.indices), on: device)
    return try transformer.predict(
      contexts.map { _ in run.latents }, session, time: step, on: device)
  }

  @Test("velocities equal diffusers' on odd shapes", arguments: cases)
  func goldens(name: String) throws {
    let fixture = try ComponentFixture(.transformer, "transformer/\(name)")
    let transformer = try AuraFlowTransformer(fixture.source)
    #expect(!fixture.runs.isEmpty)
    for name in fixture.runs {
      let run = try Run(fixture.golden, name)
      #expect(relativeError(try velocity(transformer, run), run.output) < Tolerance.network)
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
      #expect(relativeError(try velocity(transformer, run), plain) < Tolerance.network)
    }
    #expect(collapsed > 0)
  }

  @Test("modulation of a whole schedule equals that of each step alone")
  func schedule() throws {
    let fixture = try ComponentFixture(.transformer, "transformer/heads-16")
    let transformer = try AuraFlowTransformer(fixture.source)
    let run = try Run(fixture.golden, "run0")
    let context = try transformer.context(text: run.text, padding: run.padding, on: device)
    func velocity(_ times: [Float], step: Int) throws -> [Float] {
      try velocities(transformer, [context], run, times: times, step: step)[0].values
    }
    let times: [Float] = [1, 0.7, 0.25, 0.003]
    for (step, time) in times.enumerated() {
      let (expected, found) = (
        try velocity([time], step: 0), try velocity(times, step: step)
      )
      #expect(relativeError(found, expected) < Tolerance.network)
    }
  }

  @Test("branches with different prompts go through together as they do alone")
  func branches() throws {
    let fixture = try ComponentFixture(.transformer, "transformer/heads-8")
    let transformer = try AuraFlowTransformer(fixture.source)
    let run = try Run(fixture.golden, "run0")
    let contexts = try [run.padding, 1, 0].map {
      try transformer.context(
        text: $0 == 1 ? run.text.rows(0..<1) : run.text, padding: $0, on: device)
    }
    func velocities(_ contexts: [AuraFlowTransformer.Context]) throws -> [Latents] {
      try self.velocities(transformer, contexts, run, times: [run.time], step: 0)
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
    let context = try transformer.context(text: run.text, padding: run.padding, on: device)
    let prepared = try transformer.prepare(
      [context, context], times: [run.time, run.time], guidance: nil, size: run.latents.size,
      on: device)
    let session = try transformer.session(prepared, prompts: [0, 1], on: device)
    let meters = (AllocationMeter(), AllocationMeter())
    var velocities: [[Latents]] = []
    for (step, meter) in [meters.0, meters.1].enumerated() {
      try meter.measure { () throws(ComputeError) in
        velocities.append(
          try transformer.predict(
            [run.latents, run.latents], session, time: step, on: device))
      }
    }
    #expect(velocities[0] == velocities[1])
    // What goes into the tokens and comes out of them, for one branch at a time, and a row of
    // positions.
    let patches =
      8 * run.latents.values.count
      + 4 * run.latents.size.width * transformer.configuration.hiddenSize
    #expect(meters.1.peakBytes <= patches, "\(meters.1.peakBytes)")
    #expect(meters.0.peakBytes > meters.1.peakBytes)
  }

  @Test("cancelling ends a pass with an error")
  func cancellation() throws {
    let fixture = try ComponentFixture(.transformer, "transformer/heads-8")
    let transformer = try AuraFlowTransformer(fixture.source)
    let device = CPUDevice(threadCount: 2)
    device.pool.cancel()
    #expect(throws: ComputeError.cancelled) {
      let size = LatentSize(height: 2, width: 2)
      _ = try transformer.prepare([], times: [1], guidance: nil, size: size, on: device)
    }
  }
}
