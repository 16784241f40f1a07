import Compute
import ComputeCPU
import TestSupport
import Testing

@Suite("Group normalization")
struct GroupNormalizationTests {
  private let groups = 3

  /// An image whose values lie around a mean, each channel a little off the others.
  private func image(
    channels: Int, height: Int, width: Int, mean: Float
  ) throws -> ImagePlanes {
    let noise = SeededWeights.values("groups", count: channels * height * width)
    let values = noise.enumerated().map { index, value in
      mean + value + 0.25 * Float(index / (height * width))
    }
    return ImagePlanes(
      planes: try Matrix(values, rows: channels, columns: height * width), height: height,
      width: width)
  }

  private func statistics(
    _ image: ImagePlanes, bandRows: Int, threads: Int
  ) throws -> [(mean: Double, variance: Double)] {
    let device = CPUDevice(threadCount: threads)
    let statistics = try GroupStatistics(
      groups: groups, channels: image.channels, height: image.height, width: image.width,
      on: device)
    for first in stride(from: 0, to: image.height, by: bandRows) {
      try device.gather(
        ImageRows(image), rows: first..<min(image.height, first + bandRows), into: statistics)
    }
    return try device.moments(of: statistics)
  }

  @Test(
    "statistics equal those in float64, far from zero too",
    arguments: [(0, 1e-6), (3, 1e-6), (1000, 1e-5)] as [(Float, Double)])
  func oracle(mean: Float, tolerance: Double) throws {
    for (channels, height, width) in [(6, 1, 1), (3, 7, 5), (12, 33, 257), (6, 3, 1024)] {
      let image = try image(channels: channels, height: height, width: width, mean: mean)
      let results = try statistics(image, bandRows: height, threads: 2)
      for (group, result) in results.enumerated() {
        let count = channels / groups
        let values = (group * count..<(group + 1) * count).flatMap { channel in
          image.planes.rows(channel..<channel + 1).values.map(Double.init)
        }
        let exact = values.reduce(0, +) / Double(values.count)
        let variance =
          values.reduce(0) { $0 + ($1 - exact) * ($1 - exact) } / Double(values.count)
        #expect(abs(result.mean - exact) <= 1e-7 * max(1, abs(exact)))
        #expect(abs(result.variance - variance) <= tolerance * variance)
      }
    }
  }

  @Test("statistics are the same bits however rows are cut and shared out")
  func cuts() throws {
    let image = try image(channels: 6, height: 13, width: 45, mean: 0.5)
    let whole = try statistics(image, bandRows: 13, threads: 1)
    for (bandRows, threads) in [(1, 1), (1, 3), (4, 2), (5, 3), (13, 3)] {
      let cut = try statistics(image, bandRows: bandRows, threads: threads)
      #expect(cut.map(\.mean) == whole.map(\.mean))
      #expect(cut.map(\.variance) == whole.map(\.variance))
    }
  }
}
