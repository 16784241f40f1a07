import Diffusion
import Testing

@Suite("The Euler sampler") struct EulerSamplerTests {
  /// One step from a level to another along a velocity.
  private func step(
    _ values: [Float], velocity: [Float], from: Float, to: Float
  ) -> [Float] {
    let size = LatentSize(height: 1, width: values.count)
    var latents = [Latents(values, channels: 1, size: size)]
    var sampler = EulerSampler()
    let run = SampledRun(mixture: .flow, sigmas: [from, to], timesteps: [0])
    sampler.step(&latents, 0, of: run, noise: { _ in [] }) { latents, level in
      #expect(level == 0)
      return [latents[0].with(velocity)]
    }
    return latents[0].values
  }

  @Test("A step adds the velocity times the difference of levels")
  func eulerStep() {
    let once = step([1, -2, 0.5, 0], velocity: [4, 8, 0, -2], from: 0.75, to: 0.5)
    #expect(once == [0, -4, 0.5, 0.5])
    #expect(step(once, velocity: [1, 1, 1, 1], from: 0.5, to: 0.5) == once)
  }

  @Test("Product and sum are rounded one by one")
  func eulerStepIsNotFused() {
    // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24 loses its last bit when the product is rounded.
    let factor = Float(1 + 0x1p-12)
    #expect(step([-1], velocity: [factor], from: 0, to: factor) == [0x1p-11])
  }
}

@Suite("Guidance") struct GuidanceTests {
  private let size = LatentSize(height: 1, width: 1)

  @Test("Predictions of all pictures are combined, unconditional ones first")
  func combination() {
    let predictions = [1, 2, 3, 6].map { Latents([$0], channels: 1, size: size) }
    let none = Guidance(scales: [1, 0.5])
    #expect(none.branchCount == 1 && none.branches(atLevel: 1) == 0..<1)
    #expect(none.combine(predictions, atLevel: 0) == predictions)
    let guidance = Guidance(scales: [2, 2])
    #expect(guidance.branchCount == 2 && guidance.branches(atLevel: 0) == 0..<2)
    #expect(guidance.combine(predictions, atLevel: 1).map(\.values) == [[5], [10]])
  }

  @Test("Where guidance is off only the conditional prediction is made")
  func intervals() {
    let guidance = Guidance(scales: [1, 3])
    #expect(guidance.branchCount == 2 && guidance.branches(atLevel: 0) == 1..<2)
    let alone = [Latents([4], channels: 1, size: size)]
    #expect(guidance.combine(alone, atLevel: 0) == alone)
  }

  @Test("Rescaled predictions have the spread of the conditional one")
  func rescaling() {
    let size = LatentSize(height: 1, width: 4)
    let predictions = [[0, 1, 0, -1], [1, 3, -1, 1]].map {
      Latents($0, channels: 1, size: size)
    }
    func spread(_ values: [Float]) -> Float {
      let mean = values.reduce(0, +) / 4
      return (values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / 3).squareRoot()
    }
    let guided = Guidance(scales: [5]).combine(predictions, atLevel: 0)[0].values
    for share in [Float(0.5), 1] {
      let found = Guidance(scales: [5], rescale: share).combine(predictions, atLevel: 0)[0].values
      let wanted = share * spread(predictions[1].values) + (1 - share) * spread(guided)
      #expect(abs(spread(found) - wanted) < 1e-5)
      #expect(abs(found[0] * guided[1] - found[1] * guided[0]) < 1e-4)
    }
  }
}
