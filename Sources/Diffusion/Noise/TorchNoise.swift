import Foundation

/// Normally distributed numbers, bit-exact with `torch.randn` and a CPU `torch.Generator`.
///
/// Calls continue the stream of earlier calls, as with a generator object.
///
/// - SeeAlso: PyTorch `aten/src/ATen/native/cpu/DistributionTemplates.h`
///   (`normal_fill_AVX2`) and `avx_mathfun.h`, whose polynomials and fused operations decide the
///   last bits.
package struct TorchNoise {
  private var twister: MersenneTwister
  /// The second value of the last Box-Muller pair of a short call.
  private var cached: Double?

  /// - Parameter seed: as for `manual_seed`; only the low 32 bits count.
  package init(seed: UInt64) { twister = MersenneTwister(seed: seed) }

  /// Draws `count` values, as one `randn` call does.
  package mutating func normal(_ count: Int) -> [Float] {
    count < 16 ? shortNormal(count) : longNormal(count)
  }

  // MARK: 16 values and more

  private mutating func longNormal(_ count: Int) -> [Float] {
    var values = (0..<count).map { _ in uniform() }
    for start in stride(from: 0, through: count - 16, by: 16) { transform(&values, at: start) }
    if count % 16 != 0 {
      // The last 16 values are drawn again, over some that were finished already.
      for index in count - 16..<count { values[index] = uniform() }
      transform(&values, at: count - 16)
    }
    return values
  }

  private mutating func uniform() -> Float { Float(twister.draw() & 0xFF_FFFF) * 0x1p-24 }

  /// Box-Muller on 16 uniform values, the first eight as radii, the others as angles.
  private func transform(_ values: inout [Float], at start: Int) {
    for index in start..<start + 8 {
      let radius = (-2 * naturalLogarithm(1 - values[index])).squareRoot()
      let angle = sineAndCosine(Float(2 * Double.pi) * values[index + 8])
      values[index] = radius * angle.cosine
      values[index + 8] = radius * angle.sine
    }
  }

  // MARK: Fewer than 16 values

  private mutating func shortNormal(_ count: Int) -> [Float] {
    (0..<count).map { _ in
      if let second = cached {
        cached = nil
        return Float(second)
      }
      let first = uniformDouble()
      let second = uniformDouble()
      let radius = (-2 * log1p(-second)).squareRoot()
      cached = radius * sin(2 * Double.pi * first)
      return Float(radius * cos(2 * Double.pi * first))
    }
  }

  private mutating func uniformDouble() -> Double {
    let high = UInt64(twister.draw())
    let bits = high << 32 | UInt64(twister.draw())
    return Double(bits & (1 << 53 - 1)) * 0x1p-53
  }
}

/// Horner's scheme with fused multiply-adds.
private func fusedPolynomial(_ coefficients: [Float], at x: Float) -> Float {
  coefficients.dropFirst().reduce(coefficients[0]) { sum, coefficient in
    coefficient.addingProduct(sum, x)
  }
}

private let logarithmCoefficients: [Float] = [
  7.037_683_629_2e-2, -1.151_461_031_0e-1, 1.167_699_874_0e-1, -1.242_014_084_6e-1,
  1.424_932_278_7e-1, -1.666_805_766_5e-1, 2.000_071_476_5e-1, -2.499_999_399_3e-1,
  3.333_333_117_4e-1,
]
private let cosineCoefficients: [Float] = [
  2.443_315_711_809_948e-5, -1.388_731_625_493_765e-3, 4.166_664_568_298_827e-2,
]
private let sineCoefficients: [Float] = [
  -1.951_529_589_1e-4, 8.332_160_873_6e-3, -1.666_665_461_1e-1,
]

/// Cephes `logf` with fused multiply-adds, for normal positive arguments.
private func naturalLogarithm(_ x: Float) -> Float {
  var exponent = Float(Int32(x.bitPattern >> 23) - 126)
  var m = Float(bitPattern: (x.bitPattern & 0x007F_FFFF) | 0x3F00_0000)
  if m < 0.707_106_781_186_547_524 {
    exponent -= 1
    m = (m - 1) + m
  } else {
    m -= 1
  }
  let z = m * m
  var y = fusedPolynomial(logarithmCoefficients, at: m) * m
  y = (exponent * -2.121_944_40e-4).addingProduct(y, z)
  y -= 0.5 * z
  m += y
  return m.addingProduct(exponent, 0.693_359_375)
}

/// Cephes `sincosf` with fused multiply-adds, for arguments from 0 on.
private func sineAndCosine(_ angle: Float) -> (sine: Float, cosine: Float) {
  let octant = (Int32(angle * 1.273_239_544_735_16) + 1) & ~1
  let y = Float(octant)
  var x = angle.addingProduct(y, -0.785_156_25)
  x = x.addingProduct(y, -2.418_756_484_985_351_562_5e-4)
  x = x.addingProduct(y, -3.774_894_977_445_941_08e-8)
  let z = x * x
  var cosine = fusedPolynomial(cosineCoefficients, at: z) * z
  cosine = (-0.5 * z).addingProduct(cosine, z) + 1
  let sinePolynomial = fusedPolynomial(sineCoefficients, at: z) * z
  let sine = x.addingProduct(sinePolynomial, x)
  let swapped = octant & 2 != 0
  let sineSign: Float = octant & 4 == 0 ? 1 : -1
  let cosineSign: Float = (octant - 2) & 4 == 0 ? -1 : 1
  return (
    sineSign * (swapped ? cosine : sine), cosineSign * (swapped ? sine : cosine)
  )
}
