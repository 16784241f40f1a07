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
    holdNoFreedMemory()
    guard let left = ProcessStatus.addressSpaceLeft, left < leastBytes else { return nil }
    return "the limit on address space leaves \(formattedBytes(left)), at least "
      + "\(formattedBytes(leastBytes)) are needed: raise it (ulimit -v)"
  }

  /// Keeps glibc's allocator from holding what was freed, which no plan can foresee.
  ///
  /// With an arena for each thread it would reserve 64 MiB of addresses for each, and what threads
  /// free in theirs would stay resident (10 MB at the peak of a medium model's run). And once a
  /// large block was freed, it would take blocks of up to 32 MiB from its heap, where they stay (up
  /// to another 10 MB, by chance); a bound that is set does not grow. Those that compute allocate
  /// too seldom to wait for each other or for new pages. The header is not among those that Swift's
  /// module of the C library shows.
  private static func holdNoFreedMemory() {
    let (arenaMaximum, mappingThreshold): (Int32, Int32) = (-8, -3)
    typealias Function = @convention(c) (Int32, Int32) -> Int32
    guard let symbol = dlsym(nil, "mallopt") else { return }
    let mallopt = unsafeBitCast(symbol, to: Function.self)
    _ = mallopt(arenaMaximum, 1)
    _ = mallopt(mappingThreshold, 128 << 10)
  }
}
