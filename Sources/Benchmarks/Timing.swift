import Compute
import ComputeCPU
import Diffusion

/// The median time of some runs after a first one that does not count, or of one run alone if
/// `repetitions` is 0.
func medianSeconds(
  _ repetitions: Int, _ body: () throws(ComputeError) -> Void
) throws(ComputeError) -> Double {
  var seconds: [Double] = []
  for repetition in 0...max(0, repetitions) {
    let start = ContinuousClock.now
    try body()
    if repetition > 0 || repetitions < 1 {
      seconds.append((ContinuousClock.now - start) / .seconds(1))
    }
  }
  return seconds.sorted()[seconds.count / 2]
}

/// Fills a matrix with sums of uniform numbers, nearly normally distributed.
func fillNormal(_ x: Matrix) {
  var state: UInt64 = 7
  for row in 0..<x.rows {
    let values = x.row(row)
    for column in 0..<x.columns {
      var sum: Float = -2
      for _ in 0..<4 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        sum += Float(state >> 40) * 0x1p-24
      }
      values[column] = sum * 1.732
    }
  }
}

/// Latents like noise.
func normalLatents(channels: Int, _ size: LatentSize) throws(ComputeError) -> Latents {
  let matrix = try Matrix(rows: channels, columns: size.height * size.width)
  fillNormal(matrix)
  return Latents(matrix.values, channels: channels, size: size)
}
