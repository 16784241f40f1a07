import COpenBLAS
import Foundation

/// OpenBLAS's functions, loaded when they are first asked for.
///
/// A linked OpenBLAS makes a thread for each core at every start of the program, and each of them
/// asks for 128 MiB of address space again and again if a limit (`ulimit -v`) refuses it.
///
/// How it sums an element depends on the shape of a call and on the CPU, not on what else runs:
/// results of equal calls are equal as long as it uses one thread for each.
package struct OpenBLAS: Sendable {
  package typealias SingleProduct =
    @convention(c) (
      CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint, blasint, blasint, Float,
      UnsafePointer<Float>?, blasint, UnsafePointer<Float>?, blasint, Float,
      UnsafeMutablePointer<Float>?, blasint
    ) -> Void
  package typealias SingleSelfProduct =
    @convention(c) (
      CBLAS_ORDER, CBLAS_UPLO, CBLAS_TRANSPOSE, blasint, blasint, Float, UnsafePointer<Float>?,
      blasint, Float, UnsafeMutablePointer<Float>?, blasint
    ) -> Void
  package typealias SingleFactorization =
    @convention(c) (
      UnsafePointer<CChar>, UnsafePointer<blasint>, UnsafeMutablePointer<Float>,
      UnsafePointer<blasint>, UnsafeMutablePointer<blasint>, Int
    ) -> Void

  /// Address space that it maps for each thread.
  package static let bufferBytes = 128 << 20

  /// `cblas_sgemm`.
  package let multiply: SingleProduct
  /// `cblas_ssyrk`.
  package let multiplyBySelf: SingleSelfProduct
  /// LAPACK's `spotrf`, in Fortran's convention.
  package let factor: SingleFactorization
  /// `openblas_set_num_threads`.
  package let setThreadCount: @convention(c) (Int32) -> Void

  /// The installed library; nil if there is none.
  package static let shared: OpenBLAS? = {
    guard let library = dlopen("libopenblas.so.0", RTLD_NOW),
      let multiply = dlsym(library, "cblas_sgemm"),
      let multiplyBySelf = dlsym(library, "cblas_ssyrk"),
      let factor = dlsym(library, "spotrf_"),
      let setThreadCount = dlsym(library, "openblas_set_num_threads")
    else { return nil }
    return OpenBLAS(
      multiply: unsafeBitCast(multiply, to: SingleProduct.self),
      multiplyBySelf: unsafeBitCast(multiplyBySelf, to: SingleSelfProduct.self),
      factor: unsafeBitCast(factor, to: SingleFactorization.self),
      setThreadCount: unsafeBitCast(setThreadCount, to: (@convention(c) (Int32) -> Void).self))
  }()
}
