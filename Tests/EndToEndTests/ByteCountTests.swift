import StrictJSON
import TestSupport
import Testing

@Suite("Sizes on the command line")
struct ByteCountTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func plan(_ size: String) throws -> CommandLine.Outcome {
    let model = Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path
    return try CommandLine.run(
      ["plan", model, "--no-trial", "--json", "--memory", size], in: folder.url)
  }

  @Test(
    "letters alone are powers of 1024, as ulimit and containers read them; KB and so on of 1000",
    arguments: [
      ("8G", 8 << 30), ("8g", 8 << 30), ("600M", 600 << 20), ("600m", 600 << 20),
      ("524288k", 512 << 20), ("1T", 1 << 40), ("8Gi", 8 << 30), ("2GiB", 2 << 30),
      ("1.5G", 3 << 29), ("8GB", 8_000_000_000), ("800mb", 800_000_000), ("1 GB", 1_000_000_000),
      ("700000KB", 700_000_000), ("1073741824", 1 << 30), ("1073741824b", 1 << 30),
      (" 4 G ", 4 << 30),
    ] as [(String, Int)])
  func sizes(text: String, bytes: Int) throws {
    let outcome = try plan(text)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let plans = try JSONValue(parsing: outcome.output)["plans"]?.arrayValue
    #expect(plans?.first?["budgetBytes"]?.integerValue == bytes)
  }

  @Test(
    "what is no size is refused with the forms that are",
    arguments: [
      "", "G", "8Q", "8GBB", "-1G", "1e9", "0x10", "inf", "nan", "1.2.3G", "0", "8iB", "9999999T",
      "1G1",
    ])
  func refusals(text: String) throws {
    let outcome = try plan(text)
    #expect(outcome.status == 64 && outcome.output.isEmpty)
    #expect(outcome.errors.contains("8G or 8GiB (1024^3 bytes each), 8GB"), "\(outcome.errors)")
    #expect(outcome.errors.contains("auto or max"))
  }
}
