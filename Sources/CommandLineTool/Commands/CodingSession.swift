import ArgumentParser
import Foundation
import ModelFiles
import StrictJSON
import TextToImage

/// What `encode` and `decode` have in common: one output, and work that a signal ends.
struct CodingSession {
  let console: Console
  private let interruption: Interruption
  private let overwrite: Bool
  private let isJSON: Bool
  private let name: String
  private let option: String
  private let files: OutputOptions.Files

  /// - Parameters:
  ///   - common: options of verbs that write files.
  ///   - output: the file to write.
  ///   - option: what names it.
  init(_ common: CommonOptions, output: String, option: String) {
    console = Console(common)
    interruption = Interruption(clearsLine: console.showsProgress)
    overwrite = common.force
    isJSON = common.json
    name = StandardStreams.outputPath(output)
    self.option = option
    files = OutputOptions.Files(images: [name], latents: nil, statistics: nil)
  }

  /// Checks, before the work begins, that the output can be written.
  ///
  /// - Throws: `ModelFileError` or `ValidationError` if it cannot.
  func checkOutput() throws {
    try StandardStreams.expectNoTerminal(name, option: option)
    // The check writes and removes a temporary file.
    interruption.beginWriting()
    try AtomicFile.check(name, overwrite: overwrite)
    if let code = interruption.exitCode { throw ExitCode(code) }
    interruption.beginPreparing()
  }

  /// Refuses to write onto a file that is being read.
  ///
  /// - Throws: `ModelFileError` naming the output.
  func expectApart(from inputs: [String]) throws { try files.expectApart(from: inputs) }

  /// Runs the work until it is done or a signal ends it.
  ///
  /// - Throws: what `body` throws, or `ExitCode` after a signal.
  func computing<Value: Sendable>(
    _ body: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    let task = Task { try await body() }
    interruption.beginComputing { task.cancel() }
    let outcome = await task.result
    interruption.beginWriting()
    if let code = interruption.exitCode { throw ExitCode(code) }
    return try outcome.get()
  }

  /// Writes the result and says where it is.
  ///
  /// - Parameters:
  ///   - bytes: of the file.
  ///   - ending: of its name.
  ///   - facts: what `--json` says of it too.
  /// - Throws: `ExitCode` if it could not be written under its name.
  func write(_ bytes: [UInt8], ending: String, facts: [String: JSONValue]) throws {
    let results = ResultWriter(console, overwrite: overwrite)
    let place = results.write(name, ending: ending) { bytes }
    if let place {
      let members =
        [JSONValue.Member(key: "file", value: .path(place))]
        + facts.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: $0.value) }
      console.result(
        isJSON ? JSONValue.object(members).text(indentation: 2) : place.withoutControlCharacters,
        beside: files)
    }
    try results.finish()
  }
}
