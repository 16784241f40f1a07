import COpenBLAS
import Tensors

/// The same product in float32 by OpenBLAS: what people have without quantized kernels.
///
/// Nothing else calls OpenBLAS: how it sums an element depends on the rows beside it, and a picture
/// must not depend on what was computed with it.
struct DenseProduct {
  let rows: Int
  let input: Int
  let output: Int

  /// The median time of some runs.
  ///
  /// - Throws: `ComputeError.outOfMemory`.
  func seconds(repetitions: Int, threads: Int) throws(ComputeError) -> Double {
    try Self.checkAddressSpace(threads: threads)
    openblas_set_num_threads(Int32(clamping: threads))
    // Its threads wait busily for a while after each product.
    defer { openblas_set_num_threads(1) }
    let x = try Matrix(rows: rows, columns: input)
    let weight = try Matrix(rows: output, columns: input)
    let y = try Matrix(rows: rows, columns: output)
    fillNormal(x)
    fillNormal(weight)
    return try medianSeconds(repetitions) { () throws(ComputeError) in
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(output), Int32(input),
        1, x.row(0), Int32(x.stride), weight.row(0), Int32(weight.stride),
        0, y.row(0), Int32(y.stride))
    }
  }

  /// Address space that OpenBLAS maps for each thread.
  private static let bufferBytes = 128 << 20

  /// OpenBLAS asks for its buffers again and again, without end, when a limit (`ulimit -v`) refuses
  /// them.
  private static func checkAddressSpace(threads: Int) throws(ComputeError) {
    // One buffer more than threads: OpenBLAS keeps one for itself.
    let needed = (threads + 1) * bufferBytes
    guard ProcessStatus().addressSpaceLeft ?? .max >= needed else {
      throw .outOfMemory(byteCount: needed)
    }
  }
}
