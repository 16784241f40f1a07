import Compute

/// The colors that latents stand for, about: a linear function of a latent pixel's channels, fitted
/// to what a model's own decoder makes of areas of one value.
package struct LatentProjection: Sendable {
  /// For red, green and blue the factor of each channel, and a constant.
  private let factors: [[Double]]

  /// Side of an area of one value, in latent pixels.
  private static let areaSide = 4
  /// Areas that are fitted to, at least; many more than there are channels.
  private static let areas = 64

  /// Fits the function.
  ///
  /// - Parameters:
  ///   - codec: the decoder.
  ///   - size: latents that it decodes at once, at most: those of the pictures to come.
  ///   - bytes: bytes of activations to stay within; nil for the fastest way.
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  package init(
    of codec: any LatentCodec, size: LatentSize, within bytes: Int?, on device: any ComputeDevice
  ) throws(ComputeError) {
    let (channels, side) = (codec.latentChannels, Self.areaSide)
    let (rows, columns) = (max(1, min(8, size.height / side)), max(1, min(8, size.width / side)))
    let probed = LatentSize(
      height: min(size.height, rows * side), width: min(size.width, columns * side))
    var noise = TorchNoise(seed: 1)
    var equations = NormalEquations(unknowns: channels + 1, results: 3)
    for _ in 0..<(Self.areas + rows * columns - 1) / (rows * columns) {
      let colors = noise.normal(rows * columns * channels)
      func area(_ y: Int, _ x: Int) -> Int {
        min(y / side, rows - 1) * columns + min(x / side, columns - 1)
      }
      var latents = Latents(channels: channels, size: probed)
      for index in latents.values.indices {
        let (channel, place) = index.quotientAndRemainder(dividingBy: probed.height * probed.width)
        let (y, x) = place.quotientAndRemainder(dividingBy: probed.width)
        latents.values[index] = colors[area(y, x) * channels + channel]
      }
      let planes = try codec.decode(latents, within: bytes, on: device)
      let pixels = try device.read(planes.planes)
      // The inner half of an area shows little of its neighbors.
      let pixelSide = side * codec.upscaling
      let inner = pixelSide / 4..<max(pixelSide / 4 + 1, pixelSide * 3 / 4)
      for row in 0..<rows {
        for column in 0..<columns {
          let means = (0..<3).map { plane in
            Self.mean(
              pixels, plane, planes.width, planes.height, y: row * pixelSide, x: column * pixelSide,
              inner)
          }
          let first = (row * columns + column) * channels
          equations.add(colors[first..<first + channels].map(Double.init) + [1], means)
        }
      }
    }
    factors = equations.solution
  }

  private static func mean(
    _ pixels: [Float], _ plane: Int, _ width: Int, _ height: Int, y: Int, x: Int,
    _ inner: Range<Int>
  ) -> Double {
    var (sum, count) = (0.0, 0)
    for row in inner where y + row < height {
      for column in inner where x + column < width {
        sum += Double(pixels[(plane * height + y + row) * width + x + column])
        count += 1
      }
    }
    return sum / Double(max(1, count))
  }

  /// The planes of a picture of the latents' size, `[3, height, width]`, in about −1...1.
  package func colors(of latents: Latents) -> [Float] {
    let count = latents.size.height * latents.size.width
    var result = [Float](repeating: 0, count: 3 * count)
    for (color, factors) in factors.enumerated() {
      for place in 0..<count {
        var value = factors[latents.channels]
        for channel in 0..<latents.channels {
          value += factors[channel] * Double(latents.values[channel * count + place])
        }
        result[color * count + place] = Float(value)
      }
    }
    return result
  }
}

/// Linear least squares with few unknowns.
private struct NormalEquations {
  private let unknowns: Int
  /// `[unknowns, unknowns + results]`: sums of products of inputs with inputs and results.
  private var sums: [[Double]]

  init(unknowns: Int, results: Int) {
    self.unknowns = unknowns
    sums = Array(repeating: Array(repeating: 0, count: unknowns + results), count: unknowns)
    // Keeps what no input tells at zero.
    for index in 0..<unknowns { sums[index][index] = 1e-6 }
  }

  mutating func add(_ inputs: [Double], _ results: [Double]) {
    let all = inputs + results
    for row in 0..<unknowns {
      for column in all.indices { sums[row][column] += inputs[row] * all[column] }
    }
  }

  /// For each result the factors of the inputs, by elimination: the sums are positive definite.
  var solution: [[Double]] {
    var sums = sums
    for pivot in 0..<unknowns {
      let scale = 1 / sums[pivot][pivot]
      for column in sums[pivot].indices { sums[pivot][column] *= scale }
      for row in 0..<unknowns where row != pivot {
        let factor = sums[row][pivot]
        for column in sums[row].indices { sums[row][column] -= factor * sums[pivot][column] }
      }
    }
    return (unknowns..<sums[0].count).map { result in sums.map { $0[result] } }
  }
}
