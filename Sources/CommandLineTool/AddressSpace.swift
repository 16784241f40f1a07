import Foundation
import Machine

/// Makes do with little memory and with a limit on address space (`ulimit -v`).
enum AddressSpace {
  /// What threads and the allocator need; with less they crash or wait for ever.
  private static let leastBytes = 64 << 20

  /// To be called before there are threads.
  ///
  /// - Returns: why the program cannot run, as a line for the user; nil if it can.
  static func prepare() -> String? {
    allocateFromOneArena()
    guard let left = ProcessStatus.addressSpaceLeft, left < leastBytes else { return nil }
    return "the limit on address space leaves \(formattedBytes(left)), at least "
      + "\(formattedBytes(leastBytes)) are needed: raise it (ulimit -v)"
  }

  /// Keeps glibc's allocator from giving each thread an arena of its own: it would reserve 64 MiB
  /// of addresses, and what threads free in theirs stays resident (10 MB at the peak of a medium
  /// model's run, which no plan can foresee). Those that compute allocate too seldom to wait for
  /// each other. The header is not among those that Swift's module of the C library shows.
  private static func allocateFromOneArena() {
    let arenaMaximum: Int32 = -8
    typealias Function = @convention(c) (Int32, Int32) -> Int32
    guard let mallopt = dlsym(nil, "mallopt") else { return }
    _ = unsafeBitCast(mallopt, to: Function.self)(arenaMaximum, 1)
  }
}
