import Checkpoints
import Foundation
import ModelFiles
import TestSupport
import Testing
import TextToImage

/// One run of the reference with adapters.
struct AdapterRun: Sendable, CustomTestStringConvertible {
  let family, name: String
  let strengths: [(adapter: String, strength: Double)]

  var testDescription: String { "\(family)/\(name)" }

  static func all() throws -> [AdapterRun] {
    let json = try Fixtures.json("adapters/runs.json")
    return (json.members ?? []).flatMap { family in
      (family.value.members ?? []).map { run in
        AdapterRun(
          family: family.key, name: run.key,
          strengths: (run.value.members ?? []).map { ($0.key, $0.value.doubleValue ?? .nan) })
      }
    }
  }
}

@Suite("Adapters")
struct AdapterTests {
  @Test("latents with adapters equal diffusers'", arguments: try AdapterRun.all())
  func goldens(_ run: AdapterRun) async throws {
    let files = try AdapterFiles(run.family)
    let adapters = try run.strengths.map {
      AdapterPath(path: try files.path($0.adapter), strength: $0.strength)
    }
    let golden = try Golden("adapters/\(run.family)/\(run.name).safetensors").floats("latents")
    #expect(relativeError(try await files.latents(adapters), golden) < Tolerance.latents)
  }

  @Test("a strength of 0 changes no bit", arguments: ["auraflow", "flux"])
  func nothing(family: String) async throws {
    let files = try AdapterFiles(family)
    let adapter = AdapterPath(path: try files.path("all"), strength: 0)
    #expect(try await files.latents([adapter]) == files.latents([]))
  }

  @Test("threads change no bit", arguments: ["auraflow", "flux"])
  func invariance(family: String) async throws {
    let files = try AdapterFiles(family)
    let adapter = AdapterPath(path: try files.path("all"), strength: 0.7)
    let latents = try await files.latents([adapter], threads: 1)
    #expect(try await files.latents([adapter], threads: 3) == latents)
  }

  @Test("the memory plan counts adapters as weights", arguments: ["auraflow", "flux"])
  func plan(family: String) throws {
    let files = try AdapterFiles(family)
    func bytes(_ adapters: [AdapterPath]) throws -> Int {
      let pipeline = try Pipeline(files.paths(adapters))
      let plan = pipeline.memoryPlan(
        for: try pipeline.settings(for: try files.request()), limit: nil)
      return plan.stages.reduce(0) { $0 + $1.weightBytes }
    }
    let (tensors, _) = try files.adapter("all")
    let names = ["blocks."]
    let streamed = tensors.filter { tensor in names.contains { tensor.name.contains($0) } }
      .reduce(0) { $0 + 4 * $1.values.count }
    let more = try bytes([AdapterPath(path: try files.path("all"))]) - bytes([])
    // What is outside of layers is read with the weights beside it, which the plan leaves out.
    #expect(more >= streamed && more <= streamed + streamed / 4)
  }
}
