import Diffusion
import Testing

@Suite("The Euler sampler") struct EulerSamplerTests {
  /// One step from a level to another along a velocity.
  private func step(
    _ values: [Float], velocity: [Float], from: Float, to: Float
  ) -> [Float] {
    let size = LatentSize(height: 1, width: values.count)
    var latents = [Latents(values, channels: 1, size: size)]
    EulerSampler().step(&latents, 0, sigmas: [from, to]) { latents, level in
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

  @Test("The model is asked at every level but the last")
  func levels() {
    #expect(EulerSampler().levels(for: [1, 0.5, 0]) == [1, 0.5])
  }
}

@Suite("Guidance") struct GuidanceTests {
  @Test("Predictions of all pictures are combined, unconditional ones first")
  func combination() {
    let size = LatentSize(height: 1, width: 1)
    let predictions = [1, 2, 3, 6].map { Latents([$0], channels: 1, size: size) }
    #expect(Guidance.none.combine(predictions) == predictions)
    let guided = Guidance.classifierFree(scale: 2).combine(predictions)
    #expect(guided.map(\.values) == [[5], [10]])
  }
}
