import Foundation
import StrictJSON
import TestSupport
import Testing

/// Names that are no UTF-8, as old disks and archives hold them. A shell makes them, since texts
/// cannot.
@Suite("File names of any bytes")
struct PathBytesTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Runs a shell line with the program as `$1`, the shipped model as `$2` and such a name as `$B`.
  private func shell(_ line: String) throws -> CommandLine.Outcome {
    let model = Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path
    return try CommandLine.shell("B=$(printf 'caf\\351'); " + line, [model], in: folder.url)
  }

  @Test("outputs, and the working directory")
  func outputs() throws {
    let outcome = try shell(
      """
      mkdir "$B" && cd "$B" && "$1" generate -p x --steps 1 -o "$B.png" --stats "$B.json" \
        --save-latents "$B.latents" && ls "$B.png" "$B.json" "$B.latents" > /dev/null
      """)
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(outcome.output == "caf\\xE9.png\n")
    let again = try shell(#""$1" generate -p x --steps 1 -o "$B/$B.png""#)
    #expect(again.status == 73 && again.errors.contains("caf\\xE9/caf\\xE9.png: exists already"))
  }

  @Test("models, prompts, latents and matrices")
  func inputs() throws {
    let outcome = try shell(
      """
      mkdir "$B" && ln -s "$2" "$B/$B.gguf" && printf 'a red apple\\n' > "$B/$B.txt" || exit 1
      "$1" generate -m "$B/$B.gguf" -p x --steps 1 -o a.png --save-latents "$B/$B.latent" || exit 2
      "$1" generate -p x --steps 1 -o b.png --latents "$B/$B.latent" || exit 3
      "$1" imatrix "$B/$B.gguf" -f "$B/$B.txt" -o "$B/$B.imatrix" --steps 1 || exit 4
      "$1" convert "$B/$B.gguf" "$B/x$B.gguf" --type q4_K --imatrix "$B/$B.imatrix" || exit 5
      "$1" compare --models "$B/x$B.gguf" -f "$B/$B.txt" -o "out$B" --no-noise-floor || exit 6
      test -s "out$B/report.html"
      """)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.contains("\ncaf\\xE9/xcaf\\xE9.gguf: "))
  }

  @Test("JSON has such a name as it is shown")
  func json() throws {
    let outcome = try shell(#""$1" generate -p x --steps 1 --json -o "$B.png""#)
    let images = try JSONValue(parsing: outcome.output)["images"]?.arrayValue
    #expect(images?.first?["file"]?.stringValue == "caf\\xE9.png")
    let error = try shell(#""$1" inspect --json "$B.gguf""#)
    let message = try JSONValue(parsing: error.errors)["error"]?["message"]?.stringValue
    #expect(message == "caf\\xE9.gguf: No such file or directory")
  }

  @Test(
    "a prompt is a text",
    arguments: [#"-p "$B""#, #"--prompt="$B""#, #"-p x --negative-prompt "$B""#])
  func prompts(arguments: String) throws {
    let outcome = try shell(#""$1" generate -o a.png "# + arguments)
    #expect(outcome.status == 64 && outcome.errors.contains("prompt is not UTF-8"))
    #expect(!FileManager.default.fileExists(atPath: folder.path("a.png")))
  }

  @Test("characters that stand for bytes inside of the program are ordinary in names and prompts")
  func privateCharacters() throws {
    let line = #"N=$(printf '\364\217\277\251'); "$1" generate -p "$N" --steps 1 -o "$N.png""#
    #expect(try shell(line + #" && test -e "$N.png""#).status == 0)
  }
}
