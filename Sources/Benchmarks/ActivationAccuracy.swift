import BlockFormats
import Compute
import ComputeCPU
import Foundation

/// What quantizing activations costs beside what quantizing the weights has cost already.
package struct ActivationAccuracyResult: Sendable, Encodable {
  package let type: String
  /// `int8`, `int16` or `float32`: what the product computes with.
  package let activations: String
  /// Relative error of products that comes from the type's own quantization of normally distributed
  /// weights.
  package let weightError: Double
  /// Relative error that our quantization of activations adds to products.
  package let activationError: Double
  /// The same with ggml's quantization: 8 bits in groups of 32 or, for k-quants and IQ4_XS, 256.
  package let ggmlActivationError: Double
  /// Growth of the total error, both kinds being independent: 0.1 is a tenth.
  package let growth: Double
  /// Growth with ggml's quantization.
  package let ggmlGrowth: Double
}

/// Measures products with quantized activations against float64.
package struct ActivationAccuracy: Sendable {
  /// Types that the table has, from the smallest.
  package static let types = ElementType.conversionTargets.reversed().filter {
    $0.codeLayout != nil
  }

  package let type: ElementType

  package init(type: ElementType) { self.type = type }

  /// - Parameters:
  ///   - rows: rows of activations; each one's length a multiple of 256.
  ///   - device: where to compute.
  /// - Returns: one row of the table.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  package func run(
    rows: [[Float]], on device: CPUDevice
  ) throws(ComputeError) -> ActivationAccuracyResult {
    let outputs = 64
    var (ours, theirs, total) = (0.0, 0.0, 0.0)
    var weights: [Int: (stored: WeightMatrix, values: [Float])] = [:]
    for row in rows where row.count % 256 == 0 && !row.isEmpty {
      if weights[row.count] == nil {
        let stored = RandomBlocks(type, rows: outputs, columns: row.count)
          .matrix(rows: outputs, columns: row.count)
        weights[row.count] = (stored, try stored.decoded())
      }
      guard let weight = weights[row.count] else { continue }
      let result = try Matrix(rows: 1, columns: outputs)
      try device.multiply(
        Matrix(row, rows: 1, columns: row.count), by: weight.stored, into: result)
      let rounded = ggmlRounded(row)
      // Every row counts alike, whatever its size.
      var (ourSquares, theirSquares, squares) = (0.0, 0.0, 0.0)
      for output in 0..<outputs {
        var (exact, ggml) = (0.0, 0.0)
        for column in 0..<row.count {
          let value = Double(weight.values[output * row.count + column])
          exact += value * Double(row[column])
          ggml += value * rounded[column]
        }
        squares += exact * exact
        ourSquares +=
          (Double(result.row(0)[output]) - exact) * (Double(result.row(0)[output]) - exact)
        theirSquares += (ggml - exact) * (ggml - exact)
      }
      guard squares > 0 else { continue }
      ours += ourSquares / squares
      theirs += theirSquares / squares
      total += 1
    }
    return result(
      (ours / max(total, 1)).squareRoot(), (theirs / max(total, 1)).squareRoot(), device)
  }

  private func result(
    _ ours: Double, _ ggml: Double, _ device: CPUDevice
  ) -> ActivationAccuracyResult {
    let weightError = type.weightError ?? 0
    func growth(_ error: Double) -> Double {
      weightError > 0 ? (1 + (error / weightError) * (error / weightError)).squareRoot() - 1 : 0
    }
    return ActivationAccuracyResult(
      type: type.name, activations: ProductKind(type, device.activations, device.kernels).rawValue,
      weightError: weightError, activationError: ours, ggmlActivationError: ggml,
      growth: growth(ours), ggmlGrowth: growth(ggml))
  }

  /// A row as ggml's CPU code quantizes it for this type (`quantize_row_q8_0`,
  /// `quantize_row_q8_K`).
  private func ggmlRounded(_ row: [Float]) -> [Double] {
    let isSuper = type.elementsPerBlock == 256
    var result: [Double] = []
    for start in stride(from: 0, to: row.count, by: isSuper ? 256 : 32) {
      let group = row[start..<start + (isSuper ? 256 : 32)]
      let peak = group.max { abs($0) < abs($1) } ?? 0
      // Q8_0 stores its scale as float16; Q8_K divides by −128 and the signed peak.
      let scale = isSuper ? Double(peak) / -128 : Double(Float16(abs(peak) / 127))
      let divisor = isSuper ? Double(peak) / -128 : Double(abs(peak) / 127)
      for value in group {
        let code = divisor == 0 ? 0 : (Double(value) / divisor).rounded()
        result.append(min(127, code) * scale)
      }
    }
    return result
  }
}

/// Rows of independent, nearly normally distributed numbers.
package func normalRows(count: Int, columns: Int) throws(ComputeError) -> [[Float]] {
  let matrix = try Matrix(rows: count, columns: columns)
  fillNormal(matrix)
  return (0..<count).map { Array(UnsafeBufferPointer(start: matrix.row($0), count: columns)) }
}
