import Foundation
import TestSupport
import Machine
import Testing

@Suite("limits of control groups")
struct ControlGroupTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func write(_ value: String, to name: String) throws {
    try folder.write(Array(value.utf8), to: name)
  }

  private func available(_ membership: String) -> Int? {
    ControlGroup.availableBytes(membership: membership, root: folder.path)
  }

  @Test("version 2: the least that the group and those above it leave, page cache not counted")
  func versionTwo() throws {
    try write("max\n", to: "user/memory.max")
    try write("3000000\n", to: "user/app/memory.max")
    try write("1500000\n", to: "user/app/memory.current")
    try write("anon 900000\nfile 700000\nshmem 200000\n", to: "user/app/memory.stat")
    try write("2500000\n", to: "user/app/run/memory.max")
    try write("100000\n", to: "user/app/run/memory.current")
    #expect(available("0::/user/app/run\n") == 2_000_000)
    #expect(available("0::/user\n") == nil)
  }

  @Test("version 1: the memory hierarchy, whatever else is listed")
  func versionOne() throws {
    try write("9223372036854771712\n", to: "memory/memory.limit_in_bytes")
    try write("1000000\n", to: "memory/box/memory.limit_in_bytes")
    try write("600000\n", to: "memory/box/memory.usage_in_bytes")
    try write(
      "cache 1\nrss 400000\ntotal_cache 300000\ntotal_shmem 100000\n", to: "memory/box/memory.stat")
    #expect(available("4:cpu,cpuacct:/box\n3:cpuset,memory:/box\n") == 600_000)
    #expect(available("4:cpu,cpuacct:/box\n") == nil)
  }

  @Test("a path of the host that is not to be seen inside of a container")
  func foreignPath() throws {
    try write("700000\n", to: "memory.max")
    #expect(available("0::/docker/0123/inner\n") == 700_000)
  }

  @Test("nonsense is no limit", arguments: ["", "0::", "x", "::::", "0::/a/../../etc\n"])
  func nonsense(_ membership: String) {
    #expect(available(membership) == nil)
  }

  @Test("the machine has memory")
  func machine() {
    let memory = MachineMemory.now
    #expect(memory.residentBytes > 1 << 20)
    #expect(memory.availableBytes > 1 << 20)
    #expect(memory.budget > 0)
  }
}
