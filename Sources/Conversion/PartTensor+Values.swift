import BlockFormats
import Checkpoints
import Compute
import KernelInterface
import Machine
import ModelFiles

extension PartTensor {
  /// Bytes that some elements, whole blocks, take in the files.
  func storedBytes(_ range: Range<Int>) -> Int {
    slices(range).reduce(0) { $0 + $1.range.count }
  }

  /// Reads the bytes of some elements, whole blocks, in the order of our rows.
  func read(
    _ range: Range<Int>, into bytes: UnsafeMutableRawPointer
  ) throws(ModelFileError) {
    var offset = 0
    for slice in slices(range) {
      try slice.piece.file.read(slice.range, into: bytes + offset)
      offset += slice.range.count
    }
  }

  /// Dequantizes elements that were read, applies their scales, and adds what adapters add.
  ///
  /// - Throws: `ModelFileError` if an adapter cannot be read any more.
  func decode(
    _ range: Range<Int>, of bytes: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>,
    _ kernels: KernelSet
  ) throws(ModelFileError) {
    var (offset, first) = (0, 0)
    for slice in slices(range) {
      let count = slice.elements.count
      kernels.decodeElements(
        slice.piece.type, bytes + offset, count: count, into: values + first)
      slice.piece.scale.apply(
        to: values + first, count: count, from: slice.elements.lowerBound, columns: columns)
      offset += slice.range.count
      first += count
    }
    guard !updates.isEmpty else { return }
    do throws(ComputeError) {
      try WeightUpdate.apply(updates, to: range, columns: shape.count > 1 ? columns : 1, values)
    } catch {
      throw ModelFileError(path: path, kind: .unreadable, fault: error.description)
    }
  }
}

extension KernelSet {
  /// Dequantizes whole blocks, with this CPU's kernels where there are any.
  func decodeElements(
    _ type: ElementType, _ bytes: UnsafeRawPointer, count: Int,
    into values: UnsafeMutablePointer<Float>
  ) {
    switch type {
    case .f16, .bf16: decode(type, bytes, count, values)
    default: type.decode(bytes, count: count, into: values)
    }
  }
}

extension PartTensor {
  /// One row as float32, in the order of our rows.
  ///
  /// - Parameters:
  ///   - row: its number.
  ///   - columns: elements of a row.
  ///   - kernels: the kernels for this CPU.
  /// - Returns: `[columns]`.
  /// - Throws: `ModelFileError` if it cannot be read.
  package func row(
    _ row: Int, columns: Int, kernels: KernelSet
  ) throws(ModelFileError) -> [Float] {
    // Whole blocks around the row.
    let unit = blockElements
    let first = row * columns / unit * unit
    let end = min(elementCount, ((row + 1) * columns + unit - 1) / unit * unit)
    var bytes = [UInt8](repeating: 0, count: storedBytes(first..<end))
    var values = [Float](repeating: 0, count: end - first)
    try bytes.withUnsafeMutableBytes { bytes in
      Result { () throws(ModelFileError) in
        guard let base = bytes.baseAddress else { return }
        try read(first..<end, into: base)
        try values.withUnsafeMutableBufferPointer { values in
          Result { () throws(ModelFileError) in
            guard let target = values.baseAddress else { return }
            try decode(first..<end, of: base, into: target, kernels)
          }
        }.get()
      }
    }.get()
    let start = row * columns - first
    return Array(values[start..<start + columns])
  }
}
