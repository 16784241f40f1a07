import Foundation

/// Figures of this process from `/proc/self`, as they are now.
package enum ProcessStatus {
  /// Resident memory in bytes.
  package static var residentBytes: Int { kibibytes("VmRSS", in: "/proc/self/status") ?? 0 }

  /// Bytes of address space that `ulimit -v` leaves; nil without such a limit.
  package static var addressSpaceLeft: Int? {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0,
      limit.rlim_cur < UInt(Int.max), let used = kibibytes("VmSize", in: "/proc/self/status")
    else { return nil }
    return max(0, Int(limit.rlim_cur) - used)
  }
}

extension ProcessStatus {
  /// glibc's `malloc_trim`, whose header is not among those that Swift's module of the C library
  /// shows; nil with other libraries.
  private static let trim = dlsym(nil, "malloc_trim").map {
    unsafeBitCast($0, to: (@convention(c) (Int) -> Int32).self)
  }

  /// Gives pages back that hold nothing but freed blocks.
  ///
  /// Blocks below the allocator's threshold come from its heap, which keeps them: 1 to 3 MB after a
  /// stage, which would count in the next one's peak. It takes a fraction of a millisecond.
  package static func returnFreedMemory() { _ = trim?(0) }
}

/// The most memory that this process ever had resident, in bytes (`VmHWM`).
public func peakResidentBytes() -> Int {
  kibibytes("VmHWM", in: "/proc/self/status") ?? 0
}

/// Makes `VmHWM` start again from what is resident now.
///
/// - Returns: whether the system allows it.
package func resetPeakResidentBytes() -> Bool {
  // Number 5 of `/proc/PID/clear_refs`, proc(5).
  let descriptor = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return false }
  defer { close(descriptor) }
  return write(descriptor, "5", 1) == 1
}

/// The number behind `key:` in a file of lines such as `VmRSS:\t    1234 kB`, in bytes.
package func kibibytes(_ key: String, in path: String) -> Int? {
  (try? String(contentsOfFile: path, encoding: .utf8)).flatMap { kibibytes(key, inText: $0) }
}

/// The same in a text. The number may follow the tab at once, where it has many digits.
package func kibibytes(_ key: String, inText text: String) -> Int? {
  let line = text.split(separator: "\n").first { $0.hasPrefix(key + ":") }
  return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) }
    .map { $0 << 10 }
}

/// A byte count as people read it, such as `1.25 GiB`.
package func formattedBytes(_ count: Int) -> String {
  let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  var value = Double(count)
  var unit = 0
  while value >= 1024, unit < units.count - 1 {
    value /= 1024
    unit += 1
  }
  return unit == 0 ? "\(count) bytes" : String(format: "%.2f %@", value, units[unit])
}
