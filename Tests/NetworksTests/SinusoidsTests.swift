import Networks
import TestSupport
import Testing

@Suite("sinusoids")
struct SinusoidsTests {
  @Test("frequencies have the reference's bits")
  func frequencies() throws {
    let golden = try #require(
      try Fixtures.json("time-embedding/frequencies.json").arrayValue
    ).compactMap(\.integerValue)
    let bits = Sinusoids.frequencies(count: 128).map { Int($0.bitPattern) }
    #expect(bits == golden)
  }
}
