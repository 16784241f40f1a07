import BlockFormats
import Compute
import ComputeCPU
import Foundation
import ModelFiles
import Quantization

/// What quantizing normally distributed rows to one type took and lost.
package struct QuantizationResult: Sendable, Encodable {
  package let type: String
  package let quality: String
  /// Whether errors were weighted by an importance.
  package let isWeighted: Bool
  package let rows: Int
  package let columns: Int
  package let threads: Int
  package let kernels: String
  /// Median time of quantizing all rows.
  package let seconds: Double
  /// Millions of bytes of the rows as float16, for each second.
  package let megabytesPerSecond: Double
  /// Root mean square error relative to the root mean square of the values, both weighted by the
  /// importance where there is one.
  package let relativeError: Double
}

/// Measures how fast rows are quantized, and how well.
package struct QuantizationBenchmark: Sendable {
  private let rows: Int
  private let columns: Int
  private let values: [Float]
  private let importance: [Float]

  /// Makes rows with a standard deviation of 0.02, and an importance over two orders of magnitude.
  ///
  /// - Parameters:
  ///   - rows: rows to quantize.
  ///   - columns: a multiple of 256.
  package init(rows: Int, columns: Int) {
    self.rows = rows
    self.columns = columns
    var state: UInt64 = 7
    func uniform() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (Double(state >> 33) + 0.5) * 0x1p-31
    }
    func normal() -> Double { (-2 * log(uniform())).squareRoot() * cos(2 * .pi * uniform()) }
    values = (0..<rows * columns).map { _ in Float(0.02 * normal()) }
    importance = (0..<columns).map { _ in Float(exp(normal())) }
  }

  /// Writes the rows and the importance as float32, one after the other, for other programs.
  ///
  /// - Throws: `ModelFileError` if the file exists or cannot be written.
  package func write(to path: String) throws(ModelFileError) {
    let bytes = values.withUnsafeBytes { [UInt8]($0) } + importance.withUnsafeBytes { [UInt8]($0) }
    try AtomicFile.write(bytes, to: path, overwrite: false)
  }

  /// - Parameters:
  ///   - type: one of `BlockQuantizer.types`.
  ///   - quality: how long to search.
  ///   - isWeighted: whether columns have an importance.
  ///   - repetitions: runs of which the median counts.
  ///   - device: where to compute.
  /// - Returns: nil if there is no quantizer for the type.
  /// - Throws: `ComputeError` if the work is cancelled.
  package func run(
    _ type: ElementType, quality: QuantizationQuality, isWeighted: Bool, repetitions: Int,
    on device: CPUDevice
  ) throws(ComputeError) -> QuantizationResult? {
    guard let quantizer = BlockQuantizer(type: type, quality: quality, kernels: device.kernels),
      let rowBytes = type.byteCount(elements: columns)
    else { return nil }
    let blocks = UnsafeMutableRawBufferPointer.allocate(byteCount: rows * rowBytes, alignment: 64)
    defer { blocks.deallocate() }
    nonisolated(unsafe) let target = blocks
    let tile = 16
    let seconds = try medianSeconds(repetitions) { () throws(ComputeError) in
      try device.pool.run(ranges: rows, grain: tile) { range in
        values.withUnsafeBufferPointer { values in
          importance.withUnsafeBufferPointer { importance in
            quantizer.quantize(
              UnsafeBufferPointer(
                rebasing: values[range.lowerBound * columns..<range.upperBound * columns]),
              columns: columns, importance: isWeighted ? importance : nil,
              into: UnsafeMutableRawBufferPointer(
                rebasing: target[range.lowerBound * rowBytes..<range.upperBound * rowBytes]))
          }
        }
      }
    }
    return QuantizationResult(
      type: type.name, quality: quality.rawValue, isWeighted: isWeighted, rows: rows,
      columns: columns, threads: device.threadCount, kernels: device.kernels.name, seconds: seconds,
      megabytesPerSecond: 2e-6 * Double(values.count) / seconds,
      relativeError: relativeError(of: blocks, type, isWeighted: isWeighted))
  }

  private func relativeError(
    of blocks: UnsafeMutableRawBufferPointer, _ type: ElementType, isWeighted: Bool
  ) -> Double {
    var decoded = [Float](repeating: 0, count: values.count)
    if let base = blocks.baseAddress { type.decode(base, count: values.count, into: &decoded) }
    var (error, total) = (0.0, 0.0)
    for index in values.indices {
      let weight = isWeighted ? Double(importance[index % columns]) : 1
      let (value, difference) = (Double(values[index]), Double(decoded[index] - values[index]))
      error += weight * difference * difference
      total += weight * value * value
    }
    return (error / total).squareRoot()
  }
}
