import Compute
import KernelInterface
import Machine

extension GatedUpdate {
  /// `result = x + gate · values` in one row.
  func add(
    to x: Matrix, row: Int, into result: UnsafeMutablePointer<Float>, _ kernels: ElementwiseKernels
  ) {
    var arguments = GatedSumRow(
      base: x.row(row), gate: gate.map { UnsafePointer($0.pointer) }, update: values.row(row),
      result: result, count: x.columns)
    kernels.addGated(&arguments)
  }
}

extension ProductInput {
  /// Floats of memory in which so many rows are made.
  func scratchCount(rows: Int) -> Int { isStored ? 0 : rows * columns }

  /// Finds or makes some rows.
  ///
  /// - Parameters:
  ///   - range: rows.
  ///   - scratch: memory of `scratchCount` floats, in which rows lie that are not stored.
  ///   - kernels: that make them.
  /// - Returns: the first of the rows, and how many floats the next one is away.
  func made(
    _ range: Range<Int>, scratch: UnsafeMutablePointer<Float>, kernels: KernelSet
  ) -> (first: UnsafePointer<Float>, stride: Int) {
    if isStored { return (UnsafePointer(x.row(range.lowerBound)), x.stride) }
    for (index, row) in range.enumerated() {
      make(row, into: scratch + index * columns, kernels.elementwise)
    }
    return (UnsafePointer(scratch), columns)
  }

  private func make(
    _ row: Int, into result: UnsafeMutablePointer<Float>, _ kernels: ElementwiseKernels
  ) {
    switch source {
    case .stored: result.update(from: x.row(row), count: columns)
    case .modulated(let statistics, let update, let epsilon, let scale, let shift):
      var arguments = NormalizedRow(
        statistics, source: x.row(row), epsilon: epsilon, weight: scale.pointer, weightOffset: 1,
        shift: shift.pointer, result: result, count: columns)
      if let update {
        update.add(to: x, row: row, into: result, kernels)
        arguments.source = UnsafePointer(result)
      }
      kernels.normalize(&arguments)
    case .normalized(let epsilon, let weight, let bias):
      weight.withUnsafeBufferPointer { weight in
        bias.withUnsafeBufferPointer { bias in
          var arguments = NormalizedRow(
            .meanAndVariance, source: x.row(row), epsilon: epsilon, weight: weight.baseAddress,
            shift: bias.baseAddress, result: result, count: columns)
          kernels.normalize(&arguments)
        }
      }
    case .rootMeanSquare(let epsilon, let weight):
      weight.withUnsafeBufferPointer { weight in
        var arguments = NormalizedRow(
          .rootMeanSquare, source: x.row(row), epsilon: epsilon, weight: weight.baseAddress,
          result: result, count: columns)
        kernels.normalize(&arguments)
      }
    case .gated(let activation, let values):
      var arguments = ActivatedRow(
        activation, source: x.row(row), factor: values.row(row), result: result, count: columns)
      kernels.activate(&arguments)
    case .activated(let activation):
      var arguments = ActivatedRow(
        activation, source: x.row(row), result: result, count: columns)
      kernels.activate(&arguments)
    case .joined(let activation, let other):
      result.update(from: x.row(row), count: x.columns)
      var arguments = ActivatedRow(
        activation, source: other.row(row), result: result + x.columns, count: other.columns)
      kernels.activate(&arguments)
    }
  }

  /// The rows as a matrix.
  ///
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func stored(on device: CPUDevice) throws(ComputeError) -> Matrix {
    if isStored { return x }
    let result = try Matrix(rows: rows, columns: columns)
    try store(into: result, on: device)
    return result
  }

  /// Writes all rows to a matrix of their own.
  ///
  /// - Parameters:
  ///   - y: `[rows, columns]`, overwritten; may be what the rows are made from.
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if the work is cancelled.
  func store(into y: Matrix, on device: CPUDevice) throws(ComputeError) {
    precondition(y.rows == rows && y.columns == columns)
    try device.run(ranges: rows, grain: 16) { range in
      for row in range { make(row, into: y.row(row), device.kernels.elementwise) }
    }
  }
}
