import Checkpoints
import Compute
import ComputeCPU
import Diffusion
import FluxFamily
import Machine
import TestSupport
import Testing

@Suite("FLUX.1 transformer")
struct FluxTransformerTests {
  private static let cases = [
    "heads-16", "heads-16-schnell", "heads-24", "heads-12", "double-only", "single-only",
    "heads-128",
  ]
  private let device = CPUDevice(threadCount: 2)

  /// One golden run: latents, text, time and guidance with the reference's output.
  private struct Run {
    let latents: Latents
    let text, pooled: Matrix
    let time: Float
    let guidance: Float?
    let output: [Float]

    init(_ golden: Golden, _ name: String) throws {
      let shape = try golden.shape("\(name).latents")
      latents = Latents(
        try golden.floats("\(name).latents"), channels: shape[1],
        size: LatentSize(height: shape[2], width: shape[3]))
      let textShape = try golden.shape("\(name).encoder_hidden_states")
      text = try Matrix(
        try golden.floats("\(name).encoder_hidden_states"), rows: textShape[1],
        columns: textShape[2])
      let vector = try golden.floats("\(name).pooled_projections")
      pooled = try Matrix(vector, rows: 1, columns: vector.count)
      time = try golden.floats("\(name).timestep")[0]
      guidance =
        golden.names.contains("\(name).guidance") ? try golden.floats("\(name).guidance")[0] : nil
      output = try golden.floats("\(name).velocity")
    }
  }

  private func fixture(_ name: String) throws -> ComponentFixture {
    try ComponentFixture(Flux.transformer, of: Flux.family, "flux-transformer/\(name)")
  }

  private func velocities(
    _ transformer: FluxTransformer, _ runs: [Run], times: [Float], step: Int, prompts: [Int] = [0]
  ) throws -> [[Float]] {
    let contexts = try runs.map {
      try transformer.context(text: $0.text, pooled: $0.pooled, on: device)
    }
    let prepared = try transformer.prepare(
      contexts, times: times, guidance: runs[0].guidance, size: runs[0].latents.size, on: device)
    let session = try transformer.session(prepared, prompts: prompts, on: device)
    let latents = prompts.map { runs[$0].latents }
    return try transformer.predict(latents, session, time: step, on: device).map(\.values)
  }

  @Test("velocities equal diffusers' on odd shapes", arguments: cases)
  func goldens(name: String) throws {
    let fixture = try fixture(name)
    let transformer = try FluxTransformer(fixture.source)
    #expect(!fixture.runs.isEmpty)
    for name in fixture.runs {
      let run = try Run(fixture.golden, name)
      #expect(transformer.isGuidanceDistilled == (run.guidance != nil))
      let velocity = try velocities(transformer, [run], times: [run.time], step: 0)[0]
      #expect(relativeError(velocity, run.output) < Tolerance.network, "\(name)")
    }
  }

  @Test("a branch is the same bits alone and beside others, at any place in a schedule")
  func branches() throws {
    let fixture = try fixture("heads-16-schnell")
    let transformer = try FluxTransformer(fixture.source)
    let runs = try ["run0", "run0"].map { try Run(fixture.golden, $0) }
    let alone = try velocities(transformer, [runs[0]], times: [runs[0].time], step: 0)[0]
    let beside = try velocities(
      transformer, runs, times: [0.9, runs[0].time, 0.1], step: 1, prompts: [0, 1, 1, 0])
    #expect(beside.count == 4 && beside.allSatisfy { $0 == alone })
  }

  @Test("cancelling ends a pass with an error")
  func cancellation() throws {
    let fixture = try fixture("heads-16")
    let transformer = try FluxTransformer(fixture.source)
    device.pool.cancel()
    #expect(throws: ComputeError.cancelled) {
      _ = try transformer.prepare(
        [], times: [1], guidance: 1, size: LatentSize(height: 8, width: 8), on: device)
    }
  }
}
