import Foundation

/// How much memory a generation may hold at once.
public enum MemoryBudget: Sendable, Equatable {
  /// What the machine has to spare now.
  case auto
  /// As much as it likes: weights stay resident.
  case max
  /// Resident bytes of the process, mapped pages among them.
  case bytes(Int)

  /// The limit in bytes; nil if there is none.
  public var limit: Int? {
    switch self {
    case .auto: MachineMemory.now.budget
    case .max: nil
    case .bytes(let bytes): Swift.max(0, bytes)
    }
  }
}

/// What limits this process's memory.
public struct MachineMemory: Sendable, Equatable {
  /// Bytes that this process has resident.
  public let residentBytes: Int
  /// Bytes that it could have more: the least of what the machine has available, what its control
  /// groups leave, and what is left of its address space.
  public let availableBytes: Int

  /// Reads the system's present state.
  public static var now: MachineMemory {
    let available = [
      meminfo("MemAvailable"), ControlGroup.availableBytes(), ProcessStatus.addressSpaceLeft,
    ].compactMap { $0 }.min()
    return MachineMemory(
      residentBytes: ProcessStatus.residentBytes,
      availableBytes: max(0, available ?? Int(ProcessInfo.processInfo.physicalMemory)))
  }

  /// What `auto` takes: all but a margin for everything else on the machine.
  public var budget: Int {
    max(0, residentBytes + availableBytes - max(64 << 20, availableBytes / 20))
  }

  private static func meminfo(_ key: String) -> Int? {
    kibibytes(key, in: "/proc/meminfo")
  }
}

/// The memory limits of Linux control groups, version 1 and 2.
package enum ControlGroup {
  /// What this process's groups, and those above them, leave it; nil without any limit.
  ///
  /// - Parameters:
  ///   - membership: the content of `/proc/self/cgroup`.
  ///   - root: where the hierarchies are mounted.
  /// - Returns: bytes.
  package static func availableBytes(
    membership: String? = try? String(contentsOfFile: "/proc/self/cgroup", encoding: .utf8),
    root: String = "/sys/fs/cgroup"
  ) -> Int? {
    (membership ?? "").split(separator: "\n").compactMap { line -> Int? in
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { return nil }
      let path = String(fields[2])
      if fields[1].isEmpty {
        return least(
          path, under: root, limit: "memory.max", usage: "memory.current", cache: "file",
          shared: "shmem")
      }
      guard fields[1].split(separator: ",").contains("memory") else { return nil }
      return least(
        path, under: root + "/memory", limit: "memory.limit_in_bytes",
        usage: "memory.usage_in_bytes", cache: "total_cache", shared: "total_shmem")
    }.min()
  }

  /// The least that a group and its parents leave. Page cache counts as free, for the kernel drops
  /// it; but not the files of a memory file system, which are counted with it.
  private static func least(
    _ path: String, under root: String, limit: String, usage: String, cache: String,
    shared: String
  ) -> Int? {
    var components = path.split(separator: "/").map(String.init)
    var result: Int?
    while true {
      let folder = ([root] + components).joined(separator: "/")
      if let limit = number("\(folder)/\(limit)"), limit < 1 << 60 {
        let free = (statistic(cache, folder) ?? 0) - (statistic(shared, folder) ?? 0)
        let used = (number("\(folder)/\(usage)") ?? 0) - max(0, free)
        result = min(result ?? .max, max(0, limit - max(0, used)))
      }
      // Inside a container the path may be that of the host; the root is the container's then.
      guard !components.isEmpty else { return result }
      components.removeLast()
    }
  }

  private static func number(_ path: String) -> Int? {
    (try? String(contentsOfFile: path, encoding: .utf8)).flatMap {
      Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
    }
  }

  private static func statistic(_ key: String, _ folder: String) -> Int? {
    guard let text = try? String(contentsOfFile: "\(folder)/memory.stat", encoding: .utf8)
    else { return nil }
    let line = text.split(separator: "\n").first { $0.hasPrefix(key + " ") }
    return line?.split(separator: " ").last.flatMap { Int($0) }
  }
}
