import Foundation
import Machine

/// Makes do with a limit on address space (`ulimit -v`).
enum AddressSpace {
  /// What threads and the allocator need; with less they crash or wait for ever.
  private static let leastBytes = 64 << 20

  /// To be called before there are threads.
  ///
  /// - Returns: why the program cannot run, as a line for the user; nil if it can.
  static func prepare() -> String? {
    guard let left = ProcessStatus.addressSpaceLeft else { return nil }
    allocateFromOneArena()
    guard left < leastBytes else { return nil }
    return "the limit on address space leaves \(formattedBytes(left)), at least "
      + "\(formattedBytes(leastBytes)) are needed: raise it (ulimit -v)"
  }

  /// Keeps glibc's allocator from reserving 64 MiB for each thread. Its header is not among those
  /// that Swift's module of the C library shows.
  private static func allocateFromOneArena() {
    let arenaMaximum: Int32 = -8
    typealias Function = @convention(c) (Int32, Int32) -> Int32
    guard let mallopt = dlsym(nil, "mallopt") else { return }
    _ = unsafeBitCast(mallopt, to: Function.self)(arenaMaximum, 1)
  }
}
