import CommandLineTool
import Foundation
import Images
import TestSupport
import Testing

/// The adapter that comes with the project, on the model that does.
@Suite("The shipped adapter")
struct ShippedAdapterTests {
  private static let models = Fixtures.checkout.appendingPathComponent("models")
  private static let adapter = models.appendingPathComponent("icons-porcelain.safetensors").path
  private static let model = models.appendingPathComponent("auraflow-icons.gguf").path

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// How much bluer than red the middle of a picture is, in levels: an apple's.
  private func blueness(_ options: String..., model: String = Self.model) throws -> Double {
    let outcome = try CommandLine.run(
      [
        "generate", "-m", model, "-p", "a red apple on a white background", "--steps", "8", "-o",
        "apple.png", "--force",
      ] + options, in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    // Every tensor of the adapter has found its weight.
    #expect(!outcome.errors.contains("match"), "\(outcome.errors)")
    let data = try Data(contentsOf: folder.url.appendingPathComponent("apple.png"))
    let image = try RGBImage(pngData: [UInt8](data))
    var sum = 0
    for row in 48..<80 {
      for column in 48..<80 {
        let pixel = 3 * (row * image.width + column)
        sum += Int(image.pixels[pixel + 2]) - Int(image.pixels[pixel])
      }
    }
    return Double(sum) / (32 * 32)
  }

  @Test("a red apple becomes blue, with half of the adapter by less")
  func style() throws {
    let plain = try blueness()
    let half = try blueness("--lora", Self.adapter + ":0.5")
    let whole = try blueness("--lora", Self.adapter)
    #expect(plain < -60)
    #expect(whole > 60)
    #expect(half > plain && half < whole)
  }

  @Test("quantized weights take it too")
  func quantized() throws {
    let model = folder.url.appendingPathComponent("q4_K.gguf").path
    let outcome = try CommandLine.run(
      ["convert", Self.model, model, "--type", "q4_K"], in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(try blueness("--lora", Self.adapter, model: model) > 60)
  }
}
