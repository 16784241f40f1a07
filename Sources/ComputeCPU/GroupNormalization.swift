import Compute
import KernelInterface
import Machine

/// Every row of every channel is summed up by itself in float32, around its own mean; rows and
/// channels are put together in float64 in a fixed order.
extension CPUDevice {
  package func gather(
    _ image: ImageRows, rows: Range<Int>, into statistics: GroupStatistics
  ) throws(ComputeError) {
    let (source, sums) = (StoredRows(image), RowSums(statistics))
    try run(ranges: statistics.groups * rows.count, grain: 8) { range in
      for index in range {
        let (group, row) = (index / rows.count, rows.lowerBound + index % rows.count)
        let (mean, deviations) = moments(of: source, statistics, group: group, row: row)
        sums.store(mean, deviations, at: group * statistics.height + row)
      }
    }
  }

  /// Mean and squared deviations of one group in one row.
  private func moments(
    of image: StoredRows, _ statistics: GroupStatistics, group: Int, row: Int
  ) -> (mean: Double, deviations: Double) {
    let count = statistics.channels / statistics.groups
    var means = 0.0
    var squares = 0.0
    var deviations = 0.0
    for channel in group * count..<(group + 1) * count {
      let moments = kernels.elementwise.moments(image.pointer(channel, row), statistics.width)
      deviations += moments.deviations
      means += moments.mean
      squares += moments.mean * moments.mean
    }
    let mean = means / Double(count)
    // Means carry 53 bits, float32 pixels 24: what cancels out here was never known.
    deviations += Double(statistics.width) * max(0, squares - means * mean)
    return (mean, deviations)
  }

  package func moments(
    of statistics: GroupStatistics
  ) throws(ComputeError) -> [(mean: Double, variance: Double)] {
    let (sums, height) = (RowSums(statistics), statistics.height)
    return (0..<statistics.groups).map { group in
      let rows = group * height..<(group + 1) * height
      let mean = rows.reduce(0) { $0 + sums.load($1).mean } / Double(height)
      let rowCount = Double(statistics.channels / statistics.groups * statistics.width)
      let deviations = rows.reduce(0) { total, row in
        let moments = sums.load(row)
        return total + moments.deviations
          + rowCount * (moments.mean - mean) * (moments.mean - mean)
      }
      return (mean, deviations / (rowCount * Double(height)))
    }
  }

  package func scale(
    _ image: ImageRows, rows: Range<Int>, by scaling: ChannelScaling, into target: Matrix
  ) throws(ComputeError) {
    precondition(target.rows == image.channels && target.columns == rows.count * image.width)
    let source = StoredRows(image)
    try run(ranges: image.channels, grain: 4) { channels in
      for channel in channels {
        let (scale, offset) = (scaling.scale[channel], scaling.offset[channel])
        for row in rows {
          var arguments = ScaledRow(
            source: source.pointer(channel, row), scale: scale, offset: offset,
            isActivated: scaling.isActivated,
            result: target.row(channel) + (row - rows.lowerBound) * image.width,
            count: image.width)
          kernels.elementwise.scale(&arguments)
        }
      }
    }
  }
}

/// Means and squared deviations of each group and row, in float64, in the memory of statistics.
private struct RowSums: @unchecked Sendable {
  private let sums: Matrix

  init(_ statistics: GroupStatistics) { sums = statistics.sums }

  func store(_ mean: Double, _ deviations: Double, at index: Int) {
    let place = UnsafeMutableRawPointer(sums.row(index))
    place.storeBytes(of: mean, as: Double.self)
    place.storeBytes(of: deviations, toByteOffset: 8, as: Double.self)
  }

  func load(_ index: Int) -> (mean: Double, deviations: Double) {
    let place = UnsafeRawPointer(sums.row(index))
    return (place.load(as: Double.self), place.load(fromByteOffset: 8, as: Double.self))
  }
}
