import COpenBLAS
import Compute
import Foundation
import LinearAlgebra
import Machine

/// The same product in float32 by OpenBLAS: what people have without quantized kernels.
///
/// No picture is computed with OpenBLAS: how it sums an element depends on the rows beside it, and
/// a picture must not depend on what was computed with it.
struct DenseProduct {
  let rows: Int
  let input: Int
  let output: Int

  /// The median time of some runs; nil where OpenBLAS is not installed.
  ///
  /// - Throws: `ComputeError.outOfMemory`.
  func seconds(repetitions: Int, threads: Int) throws(ComputeError) -> Double? {
    guard OpenBLAS.fits else { throw .outOfMemory(byteCount: OpenBLAS.neededBytes) }
    guard let library = OpenBLAS.shared else { return nil }
    library.setThreadCount(Int32(clamping: threads))
    // Its threads wait busily for a while after each product.
    defer { library.setThreadCount(1) }
    let x = try Matrix(rows: rows, columns: input)
    let weight = try Matrix(rows: output, columns: input)
    let y = try Matrix(rows: rows, columns: output)
    fillNormal(x)
    fillNormal(weight)
    return try medianSeconds(repetitions) { () throws(ComputeError) in
      library.multiply(
        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(output), Int32(input),
        1, x.row(0), Int32(x.stride), weight.row(0), Int32(weight.stride),
        0, y.row(0), Int32(y.stride))
    }
  }
}
