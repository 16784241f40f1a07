import Machine
import Testing

@Suite("Figures of this process")
struct ProcessStatusTests {
  @Test("figures are read whatever their width")
  func figures() {
    let text = "Name:\tx\nVmHWM:\t 1550936 kB\nVmRSS:\t11550936 kB\nVmSize:\t123 kB\n"
    #expect(kibibytes("VmHWM", inText: text) == 1_550_936 << 10)
    #expect(kibibytes("VmRSS", inText: text) == 11_550_936 << 10)
    #expect(kibibytes("VmSize", inText: text) == 123 << 10)
    #expect(kibibytes("VmData", inText: text) == nil)
  }

  @Test("this process has memory")
  func now() {
    #expect(ProcessStatus.residentBytes > 1 << 20)
  }

  @Test(
    "byte counts are shown in the unit that fits",
    arguments: [
      (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.00 KiB"), (3 << 19, "1.50 MiB"),
      (5 << 30, "5.00 GiB"), (1 << 50, "1024.00 TiB"),
    ])
  func text(_ count: Int, _ expected: String) {
    #expect(formattedBytes(count) == expected)
  }
}
