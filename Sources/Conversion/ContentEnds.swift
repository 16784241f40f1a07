import Checkpoints
import ModelFiles
import Synchronization

/// Where zeros begin that end the pieces of a tensor, found while tiles of it are read in any
/// order.
final class ContentEnds: Sendable {
  private let source: PartTensor
  private let ends: Mutex<[Int]>

  /// - Parameter source: the tensor.
  init(_ source: PartTensor) {
    self.source = source
    ends = Mutex(source.pieces.map { _ in 0 })
  }

  /// For each piece where its last byte that is not zero ends in its file; 0 for none so far.
  var values: [Int] { ends.withLock { $0 } }

  /// Looks at bytes that were read.
  ///
  /// - Parameters:
  ///   - bytes: of the elements, one after the other.
  ///   - range: elements, whole blocks.
  func look(at bytes: UnsafeRawPointer, _ range: Range<Int>) {
    var offset = 0
    for slice in source.slices(range) {
      let end = ZeroContent.end(
        of: UnsafeRawBufferPointer(start: bytes + offset, count: slice.range.count))
      if end > 0 {
        ends.withLock { $0[slice.index] = max($0[slice.index], slice.range.lowerBound + end) }
      }
      offset += slice.range.count
    }
  }
}
