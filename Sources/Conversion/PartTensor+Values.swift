import BlockFormats
import Checkpoints
import KernelInterface
import ModelFiles

extension PartTensor {
  /// Bytes that some elements, whole blocks, take in the file.
  func storedBytes(_ elements: Int) -> Int {
    elements / type.elementsPerBlock * type.bytesPerBlock
  }

  /// Reads the bytes of some elements, whole blocks, in the order of our rows.
  func read(
    _ range: Range<Int>, into bytes: UnsafeMutableRawPointer
  ) throws(ModelFileError) {
    var offset = 0
    for piece in pieces(storedBytes(range.lowerBound)..<storedBytes(range.upperBound)) {
      try file.read(piece, into: bytes + offset)
      offset += piece.count
    }
  }

  /// Dequantizes elements that were read, and applies the tensor's scale.
  func decode(
    _ range: Range<Int>, of bytes: UnsafeRawPointer, into values: UnsafeMutablePointer<Float>,
    _ kernels: KernelSet
  ) {
    kernels.decodeElements(type, bytes, count: range.count, into: values)
    scale.apply(to: values, count: range.count, from: range.lowerBound, columns: columns)
  }

  /// Where some bytes of the tensor lie in the file; the tensor's own order of rows counts.
  func pieces(_ range: Range<Int>) -> [Range<Int>] {
    var pieces: [Range<Int>] = []
    var first = 0
    for stored in ranges {
      let part = range.clamped(to: first..<first + stored.count)
      if !part.isEmpty {
        let start = stored.lowerBound + part.lowerBound - first
        pieces.append(start..<start + part.count)
      }
      first += stored.count
    }
    return pieces
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
    let unit = type.elementsPerBlock
    let first = row * columns / unit * unit
    let end = min(elementCount, ((row + 1) * columns + unit - 1) / unit * unit)
    var bytes = [UInt8](repeating: 0, count: storedBytes(end - first))
    var values = [Float](repeating: 0, count: end - first)
    try bytes.withUnsafeMutableBytes { bytes in
      Result { () throws(ModelFileError) in
        guard let base = bytes.baseAddress else { return }
        try read(first..<end, into: base)
        values.withUnsafeMutableBufferPointer { values in
          if let target = values.baseAddress {
            decode(first..<end, of: base, into: target, kernels)
          }
        }
      }
    }.get()
    let start = row * columns - first
    return Array(values[start..<start + columns])
  }
}
