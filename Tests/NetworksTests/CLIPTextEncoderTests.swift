import Checkpoints
import ComputeCPU
import FluxFamily
import ModelFiles
import Networks
import TestSupport
import Testing

@Suite("CLIP text encoder")
struct CLIPTextEncoderTests {
  private let device = CPUDevice(threadCount: 2)

  private func fixture(_ name: String) throws -> ComponentFixture {
    try ComponentFixture(Flux.pooledEncoder, of: Flux.family, "clip-text/\(name)")
  }

  @Test("hidden states equal transformers'", arguments: ["tiny", "odd-heads", "heads-64"])
  func goldens(name: String) throws {
    let fixture = try fixture(name)
    let encoder = try CLIPTextEncoder(fixture.source)
    #expect(!fixture.runs.isEmpty)
    for run in fixture.runs {
      let ids = try fixture.golden.floats("\(run).input_ids").map { Int32($0) }
      let states = try encoder([ids], on: device)[0]
      let expected = try fixture.golden.floats("\(run).last_hidden_state")
      #expect(relativeError(states.values, expected) < Tolerance.network, "\(run)")
    }
  }

  @Test("what follows a token does not change it")
  func causal() throws {
    let encoder = try CLIPTextEncoder(try fixture("tiny").source)
    let ids: [Int32] = (0..<70).map { Int32($0 * 13 % 900) }
    let whole = try encoder([ids, Array(ids.prefix(9))], on: device)
    #expect(whole[0].rows(0..<9).values == whole[1].values)
  }

  @Test("another activation is refused by name")
  func activation() throws {
    let fixture = try fixture("exact-gelu")
    let error = #expect(throws: ModelFileError.self) { try CLIPTextEncoder(fixture.source) }
    #expect(
      error?.fault.contains("'hidden_act' is \"gelu\"") == true, "\(String(describing: error))")
  }
}
