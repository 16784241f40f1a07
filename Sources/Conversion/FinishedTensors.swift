import BlockFormats
import ModelFiles

/// Matrices that were rounded before, in files under our names: a conversion takes their blocks as
/// they are.
package final class FinishedTensors: Sendable {
  private struct Place: Sendable {
    let file: MappedFile
    let record: TensorRecord
  }

  private let places: [String: Place]
  /// Errors of their products, by name, where they are known.
  let productErrors: [String: Double]

  /// Opens files.
  ///
  /// - Parameters:
  ///   - paths: GGUF files.
  ///   - productErrors: what their tensors lost.
  /// - Throws: `ModelFileError` if one cannot be opened.
  package init(paths: [String], productErrors: [String: Double]) throws(ModelFileError) {
    var places: [String: Place] = [:]
    for path in paths {
      let archive = try TensorArchive(path: path)
      for (index, record) in archive.tensors.records.enumerated() {
        places[record.name] = Place(file: archive.file(of: index), record: record)
      }
    }
    self.places = places
    self.productErrors = productErrors
  }

  /// The blocks of a tensor, if they are here in the type that it is to have.
  func blocks(of tensor: ConversionPlan.Tensor) -> FinishedBlocks? {
    guard let place = places[tensor.source.name], place.record.type == tensor.type,
      place.record.shape == tensor.shape
    else { return nil }
    return FinishedBlocks(file: place.file, offset: place.record.byteOffset)
  }
}

/// Where the blocks of a rounded tensor lie.
struct FinishedBlocks: Sendable {
  let file: MappedFile
  /// Bytes before the first.
  let offset: Int

  /// Copies some of the bytes.
  func read(
    _ range: Range<Int>, into target: UnsafeMutableRawPointer
  ) throws(ModelFileError) {
    try file.read(offset + range.lowerBound..<offset + range.upperBound, into: target)
  }
}
