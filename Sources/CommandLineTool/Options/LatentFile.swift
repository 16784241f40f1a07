import BlockFormats
import ModelFiles
import TextToImage

/// Latents in a safetensors file, as `--save-latents` writes and `--latents` reads them.
struct LatentFile {
  /// `[images, channels, height, width]`.
  let shape: [Int]
  let values: [Float]

  /// Reads the tensor `latents`, or the only tensor of the file.
  ///
  /// - Throws: `ModelFileError` if the file is malformed or holds no such tensor.
  init(path: String) throws(ModelFileError) {
    let archive = try TensorArchive(path: path)
    let records = archive.tensors.records
    guard let index = archive.tensors.index(of: "latents") ?? (records.count == 1 ? 0 : nil) else {
      throw ModelFileError(
        path: path, kind: .malformed, fault: "holds no tensor named 'latents'")
    }
    let record = records[index]
    guard record.type.isWeightType, (3...4).contains(record.shape.count), record.elementCount > 0
    else {
      throw ModelFileError(
        path: path, kind: .malformed,
        fault: "tensor '\(record.name)' of shape \(record.shape) and type \(record.type.name), "
          + "expected floating-point [images, channels, height, width]")
    }
    shape = record.shape.count == 3 ? [1] + record.shape : record.shape
    values = try archive.values(of: index)
  }

  /// The bytes of a file with latents.
  static func encode(_ values: [Float], shape: [Int]) -> [UInt8] {
    SafetensorsWriter.encode([.init(name: "latents", shape: shape, values: values)])
  }
}
