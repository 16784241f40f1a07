import Foundation
import ModelFiles
import TestSupport
import Testing
import TextToImage

@Suite("Latents of ComfyUI")
struct ComfyLatentTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// What the program makes of a file with next to no noise to remove: the latents themselves.
  private func latents(_ tensors: [SafetensorsWriter.FloatTensor], _ name: String) throws -> [Float]
  {
    try folder.write(SafetensorsWriter.encode(tensors), to: name)
    let outcome = try CommandLine.run(
      ["generate", "-p", "x", "--latents", name, "--sigmas", "1e-6", "-o", name + ".png"]
        + ["--save-latents", name + ".out"], in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    return try Golden(path: folder.path(name + ".out")).floats("latents")
  }

  @Test("they are the autoencoder's own, ours are multiplied by its scaling factor")
  func scales() throws {
    let shape = [1, 4, 16, 16]
    let ours = (0..<4 * 16 * 16).map { sin(Float($0)) }
    let scale = try Pipeline(path: ShippedModel.path()).latentScale
    #expect(scale > 0)
    let marker = SafetensorsWriter.FloatTensor(
      name: "latent_format_version_0", shape: [0], values: [])
    func tensor(_ name: String, _ factor: Float) -> SafetensorsWriter.FloatTensor {
      .init(name: name, shape: shape, values: ours.map { $0 * factor })
    }
    let expected = try latents([tensor("latents", 1)], "ours.safetensors")
    #expect(relativeError(expected, ours) < Tolerance.latents)
    for (name, tensors) in [
      ("new.latent", [tensor("latent_tensor", 1 / scale), marker]),
      ("old.latent", [tensor("latent_tensor", 0.18215 / scale)]),
      ("samples.latent", [tensor("samples", 1 / scale)]),
      ("unnamed.safetensors", [tensor("x", 1)]),
    ] {
      #expect(relativeError(try latents(tensors, name), expected) < 1e-5, "\(name)")
    }
  }
}
