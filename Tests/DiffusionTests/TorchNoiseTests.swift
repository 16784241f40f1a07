import Diffusion
import StrictJSON
import TestSupport
import Testing

// The golden values were made on a CPU with AVX2 and FMA, whose code path PyTorch takes for 16
// values and more; on other CPUs PyTorch itself differs in the last bits. `TorchNoise` computes
// the AVX2 path everywhere, so these comparisons are exact on any machine.
@Suite struct TorchNoiseTests {
  /// One generator of `noise/noise.json` with its calls in order.
  private struct Row {
    let seed: UInt64
    let counts: [Int]
    let tensors: [String]

    init(_ json: JSONValue) throws {
      seed = try #require(json["seed"]?.stringValue.flatMap { UInt64($0) })
      counts = try #require(json["shapes"]?.arrayValue).map { shape in
        try #require(shape.arrayValue).compactMap(\.integerValue).reduce(1, *)
      }
      tensors = try #require(json["tensors"]?.arrayValue).compactMap(\.stringValue)
      try #require(counts.count == tensors.count)
    }
  }

  private func rows() throws -> [Row] {
    try #require(try Fixtures.json("noise/noise.json").arrayValue).map { try Row($0) }
  }

  private func compare(_ rows: [Row]) throws {
    #expect(!rows.isEmpty)
    let golden = try Golden("noise/noise.safetensors")
    for row in rows {
      var noise = TorchNoise(seed: row.seed)
      for (count, name) in zip(row.counts, row.tensors) {
        let expected = try golden.floats(name)
        try #require(expected.count == count)
        let values = noise.normal(count)
        #expect(
          values.map(\.bitPattern) == expected.map(\.bitPattern),
          "seed \(row.seed), calls of \(row.counts), tensor \(name)")
      }
    }
  }

  @Test("Calls for fewer than 16 values are torch.randn's bit by bit")
  func shortCallsAreExact() throws {
    try compare(rows().filter { row in row.counts.allSatisfy { $0 < 16 } })
  }

  @Test("Single calls for 16 values and more are torch.randn's bit by bit")
  func longCallsAreExact() throws {
    try compare(rows().filter { row in row.counts.count == 1 && row.counts[0] >= 16 })
  }

  @Test("Calls in a row continue one generator, with the spare value of short calls")
  func chainedCallsAreExact() throws {
    let chained = try rows().filter { $0.counts.count > 1 }
    #expect(chained.contains { row in row.counts.contains { $0 < 16 } })
    try compare(chained)
  }

  @Test("Only the low 32 bits of a seed count")
  func highBitsOfSeedsAreIgnored() {
    var low = TorchNoise(seed: 5)
    var high = TorchNoise(seed: 5 | 1 << 32)
    var other = TorchNoise(seed: 6)
    let values = low.normal(33)
    #expect(values == high.normal(33))
    #expect(values != other.normal(33))
  }

  @Test("No values can be asked for without moving on")
  func emptyCall() {
    var noise = TorchNoise(seed: 1)
    #expect(noise.normal(0).isEmpty)
    var fresh = TorchNoise(seed: 1)
    #expect(noise.normal(20) == fresh.normal(20))
  }

  @Test("Many values have mean 0 and variance 1")
  func momentsAreNormal() {
    var noise = TorchNoise(seed: 123)
    let values = noise.normal(100_000).map(Double.init)
    #expect(values.allSatisfy { $0.isFinite })
    let mean = values.reduce(0, +) / Double(values.count)
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
    #expect(abs(mean) < 0.02)
    #expect(abs(variance - 1) < 0.02)
  }
}
