import Foundation
import Kernels
import StrictJSON
import TestSupport
import TextToImage
import Testing

@Suite("auraflow bench and the choice of kernels")
struct BenchCommandTests {
  private func run(
    _ arguments: [String], kernels: String? = nil
  ) throws -> CommandLine.Outcome {
    try CommandLine.run(
      arguments, in: Fixtures.folder,
      environment: kernels.map { [KernelSelection.variable: $0] } ?? [:])
  }

  private func results(_ outcome: CommandLine.Outcome) throws -> [JSONValue] {
    #expect(outcome.status == 0, "\(outcome.errors)")
    return try #require(try JSONValue(parsing: outcome.output)["results"]?.arrayValue)
  }

  @Test(
    "every set that this CPU can run can be forced",
    arguments: KernelSelection.available.map(\.name))
  func forcedKernels(_ kernels: String) throws {
    let results = try results(
      run(
        ["bench", "vae", "--vae", try ShippedModel.path(), "--size", "32", "--json"],
        kernels: kernels))
    #expect(results.first?["kernels"]?.stringValue == kernels)
  }

  @Test("an unknown set is refused in one line", arguments: ["sse", "AVX2", "portable,avx2"])
  func unknownKernels(_ name: String) throws {
    let outcome = try run(["--version"], kernels: name)
    #expect(outcome.status == 64)
    #expect(outcome.errorLines.count == 1)
    #expect(outcome.errors.contains("expected one of portable, avx2, avxvnni, avx512"))
  }

  @Test("products: every figure has its name, in each precision", arguments: ["auto", "exact"])
  func products(_ precision: String) throws {
    let results = try results(
      run([
        "bench", "matmul", "--types", "q4_0,q8_0,q4_K,bf16,iq3_s", "--rows", "1,7", "--shapes",
        "40x256", "--repetitions", "1", "--no-openblas", "--activations", precision, "--json",
      ]))
    #expect(results.count == 10)
    for result in results {
      #expect(result["in"]?.integerValue == 256 && result["out"]?.integerValue == 40)
      #expect([1, 7].contains(result["rows"]?.integerValue))
      #expect((result["threads"]?.integerValue ?? 0) > 0)
      for name in ["gflops", "gigabytesPerSecond", "shareOfPeak"] {
        #expect((result[name]?.doubleValue ?? 0) > 0, "\(name)")
      }
    }
    let kinds = results.map { ($0["type"]?.stringValue, $0["activations"]?.stringValue) }
    #expect(kinds.contains { $0 == ("BF16", "float32") })
    #expect(kinds.contains { $0 == ("IQ3_S", "float32") })
    #expect(kinds.contains { $0 == ("Q8_0", "int16") })
    #expect(kinds.contains { $0 == ("Q4_0", precision == "exact" ? "int16" : "int8") })
  }

  @Test(
    "attention and the accuracy of rounded activations have theirs",
    arguments: KernelSelection.available.map(\.name))
  func attentionAndAccuracy(_ kernels: String) throws {
    let attention = try results(
      run(
        [
          "bench", "attention", "--tokens", "65", "--heads", "2", "--head-dim", "33",
          "--repetitions", "1", "--json",
        ], kernels: kernels))
    #expect(attention.first?["tokens"]?.integerValue == 65)
    #expect((attention.first?["gflops"]?.doubleValue ?? 0) > 0)
    let rows = Fixtures.path("activations/demo-rows.safetensors")
    let accuracy = try results(
      run(["bench", "accuracy", "--rows", rows, "--json"], kernels: kernels))
    #expect(accuracy.count == 12)
    for result in accuracy {
      // See `ActivationAccuracyTests`.
      let ggml = try #require(result["ggmlActivationError"]?.doubleValue)
      #expect(try #require(result["activationError"]?.doubleValue) <= 1.005 * ggml)
    }
  }

  @Test("blocks: tokens are divided into the largest square and the rest")
  func blocks() throws {
    let results = try results(
      run([
        "bench", "block", "--transformer", try ShippedModel.path(), "--tokens", "45,58", "--json",
      ]))
    #expect(results.map { $0["imageTokens"]?.integerValue } == [36, 49])
    #expect(results.map { $0["contextTokens"]?.integerValue } == [9, 9])
    #expect(results.map { $0["layers"]?.arrayValue?.map(\.integerValue) } == [[2, 4], [2, 4]])
    for result in results { #expect((result["seconds"]?.doubleValue ?? 0) > 0) }
  }

  @Test("a decoder stays within a bound on its activations, which is given in bytes or units")
  func boundedDecoder() throws {
    func result(_ memory: [String]) throws -> JSONValue {
      try #require(
        try results(
          run(["bench", "vae", "--size", "128", "--repetitions", "0", "--json"] + memory)
        ).first)
    }
    let roomy = try #require(try result([])["activationBytes"]?.integerValue)
    let bounded = try result(["--memory", "24.5MiB"])
    #expect(bounded["memory"]?.integerValue == 25_690_112)
    let bytes = try #require(bounded["activationBytes"]?.integerValue)
    #expect(bytes < roomy)
    #expect(bytes <= bounded["estimatedBytes"]?.integerValue ?? 0)
  }

  @Test(
    "sizes of memory have units; other texts are refused with an example",
    arguments: ["MiB", "-1MiB", "0", "1e3", "12 XB", "0x10", "nan", "9999999GiB", "1.2.3KB"])
  func byteCounts(_ text: String) throws {
    let outcome = try run(["bench", "vae", "--size", "32", "--memory=\(text)"])
    #expect(outcome.status == 64)
    #expect(outcome.errors.contains("750MiB"), "\(outcome.errors)")
  }

  @Test("a missing file, a file of something else and a senseless size have their exit codes")
  func failures() throws {
    #expect(try run(["bench", "block", "--transformer", "none.gguf"]).status == 66)
    let other = "checkpoints/transformer_Q8_0.gguf"
    #expect(try run(["bench", "vae", "--vae", other]).status == 69)
    #expect(try run(["bench", "vae", "--size", "0"]).status == 64)
    #expect(try run(["bench", "vae", "--size", "512x512"]).status == 64)
  }
}
