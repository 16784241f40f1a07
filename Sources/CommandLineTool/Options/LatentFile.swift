import BlockFormats
import ModelFiles
import TextToImage

/// Latents in a safetensors file, as `--save-latents` or ComfyUI's SaveLatent writes and
/// `--latents` reads them.
///
/// Ours are the transformer's, `latents`. ComfyUI's, `latent_tensor` or `samples`, are the
/// autoencoder's own: not multiplied by its scaling factor. Files without the marker
/// `latent_format_version_0` come from a time when it kept them multiplied by Stable Diffusion's.
struct LatentFile {
  /// Stable Diffusion's scaling factor, which the oldest files of ComfyUI are multiplied by.
  private static let oldScale: Float = 0.18215

  /// `[images, channels, height, width]`.
  let shape: [Int]
  /// As the file has it; a single picture's may have no first dimension.
  let storedShape: [Int]
  private let stored: [Float]
  /// What makes the autoencoder's own latents of them; nil for the transformer's.
  private let factor: Float?

  /// Reads the tensor `latents`, ComfyUI's, or the only tensor of the file.
  ///
  /// - Throws: `ModelFileError` if the file is malformed or holds no such tensor.
  init(path: String) throws(ModelFileError) {
    let archive = try TensorArchive(path: path)
    let records = archive.tensors.records
    let tensors = archive.tensors
    let comfyIndex = tensors.index(of: "latent_tensor") ?? tensors.index(of: "samples")
    let ourIndex = tensors.index(of: "latents")
    guard let index = ourIndex ?? comfyIndex ?? (records.count == 1 ? 0 : nil) else {
      throw ModelFileError(
        path: path, kind: .malformed,
        fault: "holds no tensor named 'latents', nor ComfyUI's 'latent_tensor' or 'samples'")
    }
    let record = records[index]
    guard record.type.isWeightType, (3...4).contains(record.shape.count), record.elementCount > 0
    else {
      throw ModelFileError(
        path: path, kind: .malformed,
        fault: "tensor '\(record.name)' of shape \(record.shape) and type \(record.type.name), "
          + "expected floating-point [images, channels, height, width]")
    }
    storedShape = record.shape
    shape = record.shape.count == 3 ? [1] + record.shape : record.shape
    stored = try archive.values(of: index)
    let isOld =
      record.name == "latent_tensor" && tensors.index(of: "latent_format_version_0") == nil
    factor = index == ourIndex || comfyIndex == nil ? nil : isOld ? 1 / Self.oldScale : 1
  }

  /// The latents of one picture.
  ///
  /// - Parameter index: its number in the file.
  /// - Returns: nil if there are not as many.
  func picture(_ index: Int) -> LatentFile? {
    let count = shape.dropFirst().reduce(1, *)
    guard index >= 0, index < shape[0] else { return nil }
    return LatentFile(
      shape: [1] + shape.dropFirst(), storedShape: storedShape,
      stored: Array(stored[index * count..<(index + 1) * count]), factor: factor)
  }

  private init(shape: [Int], storedShape: [Int], stored: [Float], factor: Float?) {
    self.shape = shape
    self.storedShape = storedShape
    self.stored = stored
    self.factor = factor
  }

  /// The values as a model's transformer has them.
  func values(for pipeline: Pipeline) -> [Float] {
    values(scale: pipeline.latentScale, shift: pipeline.latentShift)
  }

  /// The values as a transformer has them.
  ///
  /// - Parameters:
  ///   - scale: what the autoencoder's own latents are multiplied by.
  ///   - shift: what is taken from them before.
  /// - Returns: as many as the shape says.
  func values(scale: Float, shift: Float) -> [Float] {
    factor.map { factor in stored.map { ($0 * factor - shift) * scale } } ?? stored
  }

  /// The bytes of a file with latents.
  static func encode(_ values: [Float], shape: [Int]) -> [UInt8] {
    SafetensorsWriter.encode([.init(name: "latents", shape: shape, values: values)])
  }
}
