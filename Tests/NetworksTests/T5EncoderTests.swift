import Checkpoints
import ComputeCPU
import FluxFamily
import Networks
import TestSupport
import Testing

@Suite("T5 and UMT5 encoders")
struct T5EncoderTests {
  @Test(
    "hidden states equal transformers'",
    arguments: ["default-buckets", "small-buckets", "left-padded", "one-token"])
  func goldens(name: String) throws {
    let fixture = try ComponentFixture(.textEncoder, "text-encoder/\(name)")
    let encoder = try T5Encoder(fixture.source)
    let ids = try fixture.golden.floats("input_ids")
    let mask = try fixture.golden.floats("attention_mask")
    let real = zip(ids, mask).filter { $0.1 == 1 }.map { Int32($0.0) }
    let states = try encoder([real], on: CPUDevice(threadCount: 2))[0]
    #expect(
      relativeError(states.values, try fixture.golden.floats("last_hidden_state"))
        < Tolerance.network)
  }

  @Test(
    "states of T5, whose first layer's position bias counts in all, equal transformers'",
    arguments: ["default-buckets", "small-buckets", "one-layer", "heads-64"])
  func shared(name: String) throws {
    let fixture = try ComponentFixture(Flux.textEncoder, of: Flux.family, "t5-encoder/\(name)")
    let encoder = try T5Encoder(fixture.source)
    #expect(encoder.configuration.sharesPositionBias && !fixture.runs.isEmpty)
    for run in fixture.runs {
      // Padding is there, unmasked.
      let ids = try fixture.golden.floats("\(run).input_ids").map { Int32($0) }
      let states = try encoder([ids], on: CPUDevice(threadCount: 2))[0]
      #expect(
        relativeError(states.values, try fixture.golden.floats("\(run).last_hidden_state"))
          < Tolerance.network, "\(run)")
    }
  }

  @Test("relative positions fall into T5's buckets")
  func buckets() {
    let expected = [
      0: 0, -7: 7, -8: 8, -11: 8, -12: 9, -16: 10, -23: 11, -32: 12, -46: 13, -64: 14, -91: 15,
      -500: 15, 1: 17, 7: 23, 8: 24, 91: 31, 500: 31,
    ]
    for (relative, bucket) in expected {
      #expect(RelativePosition.bucket(relative, buckets: 32, maxDistance: 128) == bucket)
    }
  }

  @Test("results do not depend on the number of threads")
  func threads() throws {
    let fixture = try ComponentFixture(.textEncoder, "text-encoder/default-buckets")
    let encoder = try T5Encoder(fixture.source)
    let ids: [Int32] = [5, 9, 2, 77, 31, 2]
    let one = try encoder([ids], on: CPUDevice(threadCount: 1))[0].values
    let three = try encoder([ids], on: CPUDevice(threadCount: 3))[0].values
    #expect(one == three)
  }
}
