import COpenBLAS
import Foundation

/// OpenBLAS's functions, loaded when they are first asked for.
///
/// A linked OpenBLAS makes a thread for each core at every start of the program, and each of them
/// asks for 128 MiB of address space again and again if a limit (`ulimit -v`) refuses it.
struct OpenBLAS: Sendable {
  typealias SingleProduct =
    @convention(c) (
      CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint, blasint, blasint, Float,
      UnsafePointer<Float>?, blasint, UnsafePointer<Float>?, blasint, Float,
      UnsafeMutablePointer<Float>?, blasint
    ) -> Void

  /// Address space that it maps for each thread.
  static let bufferBytes = 128 << 20

  /// `cblas_sgemm`.
  let multiply: SingleProduct
  /// `openblas_set_num_threads`.
  let setThreadCount: @convention(c) (Int32) -> Void

  /// The installed library; nil if there is none.
  static let shared: OpenBLAS? = {
    guard let library = dlopen("libopenblas.so.0", RTLD_NOW),
      let multiply = dlsym(library, "cblas_sgemm"),
      let setThreadCount = dlsym(library, "openblas_set_num_threads")
    else { return nil }
    return OpenBLAS(
      multiply: unsafeBitCast(multiply, to: SingleProduct.self),
      setThreadCount: unsafeBitCast(setThreadCount, to: (@convention(c) (Int32) -> Void).self))
  }()
}
