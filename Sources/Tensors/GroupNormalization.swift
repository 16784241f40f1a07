import KernelInterface

/// Mean and squared deviations of groups of channels, gathered row by row of an image.
///
/// Every row of every channel is summed by itself in float32, around its own mean; rows and
/// channels are put together in float64 in a fixed order. So the result does not depend on how an
/// image is cut into bands, nor on the number of threads.
package struct GroupStatistics: @unchecked Sendable {
  private let groups: Int
  private let channels: Int
  private let height: Int
  private let width: Int
  /// `[groups, height, 2]` of `Double`: mean and sum of squared deviations.
  private let moments: FloatBuffer

  /// - Parameters:
  ///   - groups: number of groups; divides the channels.
  ///   - channels: of the image.
  ///   - height: rows of the image.
  ///   - width: pixels of a row.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(groups: Int, channels: Int, height: Int, width: Int) throws(ComputeError) {
    precondition(channels % groups == 0)
    self.groups = groups
    self.channels = channels
    self.height = height
    self.width = width
    moments = try FloatBuffer(count: groups * height * 4)
  }

  /// Bytes that statistics take.
  package static func byteCount(groups: Int, height: Int) -> Int { groups * height * 16 }

  /// Gathers some rows of the image; each row has to be gathered once.
  ///
  /// - Throws: `ComputeError.cancelled` if the pool is cancelled.
  package func gather(
    _ image: ImageRows, rows: Range<Int>, on pool: ThreadPool
  ) throws(ComputeError) {
    try pool.run(ranges: groups * rows.count, grain: 8) { range in
      for index in range {
        gather(
          image, group: index / rows.count, row: rows.lowerBound + index % rows.count,
          pool.kernels.elementwise)
      }
    }
  }

  private func gather(
    _ image: ImageRows, group: Int, row: Int, _ kernels: ElementwiseKernels
  ) {
    let count = channels / groups
    var means = 0.0
    var squares = 0.0
    var deviations = 0.0
    for channel in group * count..<(group + 1) * count {
      let moments = kernels.moments(image.pointer(channel, row), width)
      deviations += moments.deviations
      means += moments.mean
      squares += moments.mean * moments.mean
    }
    let mean = means / Double(count)
    // Means carry 53 bits, float32 pixels 24: what cancels out here was never known.
    deviations += Double(width) * max(0, squares - means * mean)
    store(mean, deviations, at: group * height + row)
  }

  private func store(_ mean: Double, _ deviations: Double, at index: Int) {
    let place = UnsafeMutableRawPointer(moments.pointer) + index * 16
    place.storeBytes(of: mean, as: Double.self)
    place.storeBytes(of: deviations, toByteOffset: 8, as: Double.self)
  }

  private func load(_ index: Int) -> (mean: Double, deviations: Double) {
    let place = UnsafeRawPointer(moments.pointer) + index * 16
    return (place.load(as: Double.self), place.load(fromByteOffset: 8, as: Double.self))
  }

  /// Mean and variance of a group, once all rows are gathered.
  package func meanAndVariance(ofGroup group: Int) -> (mean: Double, variance: Double) {
    let rows = group * height..<(group + 1) * height
    let mean = rows.reduce(0) { $0 + load($1).mean } / Double(height)
    let rowCount = Double(channels / groups * width)
    let deviations = rows.reduce(0) { total, row in
      let moments = load(row)
      return total + moments.deviations + rowCount * (moments.mean - mean) * (moments.mean - mean)
    }
    return (mean, deviations / (rowCount * Double(height)))
  }
}

/// Brings groups of channels to mean 0 and variance 1, then scales and shifts each channel.
package struct GroupNormalization: Sendable {
  private let scale: [Float]
  private let offset: [Float]
  private let activation: Bool

  /// - Parameters:
  ///   - statistics: of the whole image.
  ///   - groups: number of groups; divides the channels.
  ///   - weight: `[channels]`.
  ///   - bias: `[channels]`.
  ///   - epsilon: added to the variance.
  ///   - activation: whether SiLU follows.
  package init(
    _ statistics: GroupStatistics, groups: Int, weight: [Float], bias: [Float], epsilon: Float,
    activation: Bool
  ) {
    precondition(weight.count == bias.count && weight.count % groups == 0)
    let channels = weight.count / groups
    var scale: [Float] = []
    var offset: [Float] = []
    for group in 0..<groups {
      let (mean, variance) = statistics.meanAndVariance(ofGroup: group)
      let factor = 1 / Float(variance + Double(epsilon)).squareRoot()
      for channel in group * channels..<(group + 1) * channels {
        scale.append(factor * weight[channel])
        offset.append(bias[channel] - Float(mean) * factor * weight[channel])
      }
    }
    self.scale = scale
    self.offset = offset
    self.activation = activation
  }

  /// Normalizes some rows.
  ///
  /// - Parameters:
  ///   - image: holds the rows.
  ///   - rows: the rows to normalize.
  ///   - result: `[channels, rows · width]`, overwritten; may be where `image` has them.
  ///   - pool: threads to compute on.
  /// - Throws: `ComputeError.cancelled` if the pool is cancelled.
  package func callAsFunction(
    _ image: ImageRows, rows: Range<Int>, into result: Matrix, on pool: ThreadPool
  ) throws(ComputeError) {
    precondition(result.rows == image.channels && result.columns == rows.count * image.width)
    try pool.run(ranges: image.channels, grain: 4) { channels in
      for channel in channels {
        let (scale, offset) = (scale[channel], offset[channel])
        for row in rows {
          let source = image.pointer(channel, row)
          let target = result.row(channel) + (row - rows.lowerBound) * image.width
          var arguments = ScaledRow(
            source: source, scale: scale, offset: offset, isActivated: activation, result: target,
            count: image.width)
          pool.kernels.elementwise.scale(&arguments)
        }
      }
    }
  }
}
