/// What is gathered row by row of an image for its group normalization.
///
/// Every row of every channel is summed up by itself, around its own mean, and put together in a
/// fixed order: the result depends neither on how an image is cut into bands nor on the number of
/// threads.
package struct GroupStatistics: Sendable {
  /// Number of groups; divides the channels.
  package let groups: Int
  /// Of the image.
  package let channels, height, width: Int
  /// `[groups · height, 4]`: room for two float64 numbers for each group and row.
  package let sums: Matrix

  /// - Parameters:
  ///   - groups: number of groups; divides the channels.
  ///   - channels: of the image.
  ///   - height: rows of the image.
  ///   - width: pixels of a row.
  ///   - device: where the image is.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(
    groups: Int, channels: Int, height: Int, width: Int, on device: any ComputeDevice
  ) throws(ComputeError) {
    precondition(channels % groups == 0)
    self.groups = groups
    self.channels = channels
    self.height = height
    self.width = width
    sums = try device.matrix(rows: groups * height, columns: 4)
  }
}

/// A factor and an offset for each channel of an image.
package struct ChannelScaling: Sendable {
  /// `[channels]`.
  package let scale, offset: [Float]
  /// Whether SiLU follows.
  package let isActivated: Bool

  /// The same for every channel.
  package init(scale: Float, offset: Float, channels: Int) {
    self.scale = Array(repeating: scale, count: channels)
    self.offset = Array(repeating: offset, count: channels)
    isActivated = false
  }

  /// Group normalization: brings groups of channels to mean 0 and variance 1, then scales and
  /// shifts each.
  ///
  /// - Parameters:
  ///   - moments: of each group.
  ///   - weight: `[channels]`.
  ///   - bias: `[channels]`.
  ///   - epsilon: added to the variance.
  ///   - activation: whether SiLU follows.
  package init(
    normalizing moments: [(mean: Double, variance: Double)], weight: [Float], bias: [Float],
    epsilon: Float, activation: Bool
  ) {
    precondition(weight.count == bias.count && weight.count % moments.count == 0)
    let channels = weight.count / moments.count
    var scale: [Float] = []
    var offset: [Float] = []
    for (group, (mean, variance)) in moments.enumerated() {
      let factor = 1 / Float(variance + Double(epsilon)).squareRoot()
      for channel in group * channels..<(group + 1) * channels {
        scale.append(factor * weight[channel])
        offset.append(bias[channel] - Float(mean) * factor * weight[channel])
      }
    }
    self.scale = scale
    self.offset = offset
    isActivated = activation
  }
}
