import BlockFormats
import Compute
import Machine

extension WeightMatrix {
  /// Dequantizes all rows to float32 on many threads.
  ///
  /// - Parameters:
  ///   - values: `[rows, columns]`, overwritten.
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if the bytes cannot be read any more or the work is cancelled.
  package func decode(into values: Matrix, on device: CPUDevice) throws(ComputeError) {
    precondition(values.rows == rows && values.columns == columns)
    var first = 0
    for segment in segments {
      let rowBytes = segment.type.byteCount(elements: columns) ?? 0
      try segment.withRows(0..<segment.rows, columns: columns) { bytes throws(ComputeError) in
        try device.run(ranges: segment.rows, grain: 16) { rows in
          for row in rows {
            let target = values.row(first + row)
            segment.type.decode(bytes + row * rowBytes, count: columns, into: target)
            scale.apply(to: target, count: columns, from: (first + row) * columns, columns: columns)
          }
        }
      }
      first += segment.rows
    }
  }
}
