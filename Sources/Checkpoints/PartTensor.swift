import BlockFormats
import Compute
import ModelFiles

/// A tensor of a part as it lies in its file, under our name, for those who copy or convert it.
package struct PartTensor: Sendable {
  package let part: Slot
  /// What the tensor is for.
  package let match: RoleMatch
  /// Whose rules for mixes of types its network follows.
  package let convention: QuantizationConvention?
  /// Our name: the original release's, llama.cpp's or LDM's.
  package let name: String
  /// The file's name for it.
  package let storedName: String
  package let type: ElementType
  /// Row-major, as the network asks for it; as the file has it for what is not run.
  package let shape: [Int]
  /// Where the bytes lie, in the order of our rows.
  package let ranges: [Range<Int>]
  /// The file that holds them.
  package let file: MappedFile
  /// Factors on the elements (scaled fp8 checkpoints), in the order of our rows.
  package let scale: WeightScale

  /// Whether rows are tokens, the last of which may be padding.
  package let isTokenTable: Bool

  /// Bytes of all elements.
  package var byteCount: Int { ranges.reduce(0) { $0 + $1.count } }
  /// The tensor with the second half of its rows first.
  package var halvesSwapped: PartTensor {
    var ranges = ranges
    if ranges.count == 1, let whole = ranges.first {
      let middle = whole.lowerBound + whole.count / 2
      ranges = [middle..<whole.upperBound, whole.lowerBound..<middle]
    } else {
      ranges.reverse()
    }
    return PartTensor(
      part: part, match: match, convention: convention, name: name, storedName: storedName,
      type: type, shape: shape, ranges: ranges,
      file: file, scale: scale.halvesSwapped, isTokenTable: isTokenTable)
  }

  /// Elements of a row, by which scales are counted.
  package var columns: Int { shape.count > 1 ? elementCount / max(1, shape[0]) : elementCount }
  /// Number of elements.
  package var elementCount: Int { byteCount / type.bytesPerBlock * type.elementsPerBlock }
}

extension StoredWeights {
  /// Every tensor of the part, in file order; second names of the same tensor are left out. Shapes
  /// are those that the network asked for when it was opened.
  ///
  /// - Throws: `ModelFileError` for a tensor that is empty or of a type that holds no weights.
  package func tensors() throws(ModelFileError) -> [PartTensor] {
    var tensors: [PartTensor] = []
    for (name, index, rowOrder) in storedTensors {
      let record = record(of: index)
      guard record.elementCount > 0 else {
        throw malformed("tensor '\(record.name)' of shape \(record.shape) is empty")
      }
      try expectWeightType(record)
      let range = record.byteOffset..<record.byteOffset + record.byteCount
      tensors.append(
        PartTensor(
          part: slot, match: network.roles.match(name), convention: network.convention, name: name,
          storedName: record.name,
          type: record.type, shape: requestedShape(name) ?? record.shape,
          ranges: try ranges(record, range, rowOrder), file: archive.file(of: index),
          scale: try scale(of: index, rowOrder: rowOrder),
          isTokenTable: network.isTokenTable(record.name)))
    }
    return tensors
  }

  private func ranges(
    _ record: TensorRecord, _ range: Range<Int>, _ rowOrder: NameRule.RowOrder
  ) throws(ModelFileError) -> [Range<Int>] {
    guard rowOrder == .halvesSwapped else { return [range] }
    guard record.shape.count == 2, record.shape[0] % 2 == 0 else {
      throw malformed(
        "tensor '\(record.name)' has shape \(record.shape), expected an even number of rows")
    }
    let middle = range.lowerBound + range.count / 2
    return [middle..<range.upperBound, range.lowerBound..<middle]
  }
}
