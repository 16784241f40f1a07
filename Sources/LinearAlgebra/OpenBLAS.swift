import COpenBLAS
import Foundation
import Machine

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
  package typealias SingleTriangularSolve =
    @convention(c) (
      CBLAS_ORDER, CBLAS_SIDE, CBLAS_UPLO, CBLAS_TRANSPOSE, CBLAS_DIAG, blasint, blasint, Float,
      UnsafePointer<Float>?, blasint, UnsafeMutablePointer<Float>?, blasint
    ) -> Void
  package typealias SingleFactorization =
    @convention(c) (
      UnsafePointer<CChar>, UnsafePointer<blasint>, UnsafeMutablePointer<Float>,
      UnsafePointer<blasint>, UnsafeMutablePointer<blasint>, Int
    ) -> Void

  /// `omp_set_num_threads` of a library that was built with OpenMP: each thread has a number of its
  /// own there.
  private let setOpenMPThreadCount: (@convention(c) (Int32) -> Void)?

  /// Lets calls of this thread run on it alone.
  package func useOneThread() {
    setThreadCount(1)
    setOpenMPThreadCount?(1)
  }

  /// Why there may be no library, as the end of a sentence.
  package static let absence =
    "OpenBLAS is not there: install libopenblas0, or raise the limit on address space (ulimit -v)"

  /// Address space that it maps for each thread.
  private static let bufferBytes = 128 << 20

  /// `cblas_sgemm`.
  package let multiply: SingleProduct
  /// `cblas_strsm`.
  package let solveTriangle: SingleTriangularSolve
  /// LAPACK's `spotrf`, in Fortran's convention.
  package let factor: SingleFactorization
  /// `openblas_set_num_threads`.
  package let setThreadCount: @convention(c) (Int32) -> Void

  /// Address space that it needs. It makes a thread for each core first, and asks for its buffers
  /// without end when a limit refuses them.
  package static let neededBytes =
    (2 * ProcessInfo.processInfo.activeProcessorCount + 1) * bufferBytes

  /// Whether a limit on address space leaves room for it.
  package static var fits: Bool { ProcessStatus.addressSpaceLeft ?? .max >= neededBytes }

  /// The installed library; nil if there is none, or no room for it.
  package static let shared: OpenBLAS? = {
    guard fits,
      let library = dlopen("libopenblas.so.0", RTLD_NOW),
      let multiply = dlsym(library, "cblas_sgemm"),
      let solveTriangle = dlsym(library, "cblas_strsm"),
      let factor = dlsym(library, "spotrf_"),
      let setThreadCount = dlsym(library, "openblas_set_num_threads")
    else { return nil }
    typealias CountSetter = @convention(c) (Int32) -> Void
    typealias Question = @convention(c) () -> Int32
    // 2 is OpenMP.
    let usesOpenMP =
      dlsym(library, "openblas_get_parallel").map { unsafeBitCast($0, to: Question.self)() } == 2
    let openMP = usesOpenMP ? dlsym(nil, "omp_set_num_threads") : nil
    return OpenBLAS(
      setOpenMPThreadCount: openMP.map { unsafeBitCast($0, to: CountSetter.self) },
      multiply: unsafeBitCast(multiply, to: SingleProduct.self),
      solveTriangle: unsafeBitCast(solveTriangle, to: SingleTriangularSolve.self),
      factor: unsafeBitCast(factor, to: SingleFactorization.self),
      setThreadCount: unsafeBitCast(setThreadCount, to: CountSetter.self))
  }()
}
