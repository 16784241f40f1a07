import BlockFormats
import Foundation
import Images
import ModelFiles
import TestSupport
import Testing
import TextToImage

/// Results that are none are told.
@Suite("Degenerate results")
struct ResultWarningsTests {
  @Test("latents are sound up to the limit, in every picture")
  func latents() {
    #expect(ResultWarnings.note(latents: [[8.9, -8], []], "now") == nil)
    #expect(
      ResultWarnings.note(latents: [[1], [0, -101]], "now")?.contains("reach 101 now") == true)
    #expect(ResultWarnings.note(latents: [[1e19]], "now")?.contains("1e+19") == true)
    #expect(ResultWarnings.note(latents: [[.nan]], "now") != nil)
  }

  @Test("a picture of one colour is told, one with a single other pixel is not")
  func colors() {
    var pixels = [UInt8](repeating: 128, count: 48)
    func note() -> String? {
      ResultWarnings.note(image: RGBImage(width: 4, height: 4, pixels: pixels))
    }
    #expect(note()?.contains("(128, 128, 128)") == true)
    pixels[7] = 129
    #expect(note() != nil)
    pixels[40] = 131
    #expect(note() == nil)
    #expect(ResultWarnings.note(image: RGBImage(width: 1, height: 1, pixels: [1, 2, 3])) == nil)
  }

  @Test("weights a thousand times too large are told early, beside the picture and in its facts")
  func scaledWeights() throws {
    let model = try SeededWeights.pipelineFolder("quantizable")
    let path = model.path("transformer/diffusion_pytorch_model.safetensors")
    let archive = try TensorArchive(path: path)
    let tensors = try archive.tensors.records.enumerated().map { index, record in
      let factor: Float = record.name == "proj_out.weight" ? 1e6 : 1
      return SafetensorsWriter.FloatTensor(
        name: record.name, shape: record.shape,
        values: try archive.values(of: index).map { factor * $0 })
    }
    try model.write(
      SafetensorsWriter.encode(tensors), to: "transformer/diffusion_pytorch_model.safetensors")
    let folder = try TemporaryFolder()
    let outcome = try CommandLine.run(
      ["generate", "-m", model.path, "-p", "x", "--steps", "3", "--stats", "s.json"],
      in: folder.url)
    #expect(outcome.status == 0)
    let lines = outcome.errorLines
    #expect(lines.first?.contains("after step 1 of 3") == true, "\(outcome.errors)")
    #expect(lines.contains { $0.contains("output.png: the latents reach") })
    let stats = try String(contentsOfFile: folder.path("s.json"), encoding: .utf8)
    #expect(stats.contains("the latents reach"))
  }
}
