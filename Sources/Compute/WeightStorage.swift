/// What becomes of a weight's bytes between its uses.
package enum WeightKeeping: UInt8, Sendable {
  /// They are released.
  case none
  /// They stay resident where they are: pages of a mapped file, or a copy where there is none.
  case inPlace
  /// They are copied into allocated memory at their first use. Pages of a file are the first that
  /// the system evicts where memory is short, however often they are used.
  case copied
}

/// Where the bytes of a stored weight come from, and whether they stay resident after use.
///
/// A weight's bytes are resident while a product uses them. Afterwards they are released, unless
/// there is memory to keep them.
package protocol WeightStorage: AnyObject, Sendable {
  /// Size of the whole tensor.
  var byteCount: Int { get }
  /// Whether and how bytes stay resident between uses.
  var keeping: WeightKeeping { get set }
  /// Keeps bytes resident until `endHold` was called as often.
  func hold()
  /// Releases bytes that nothing keeps any more.
  func endHold()
  /// Gets part of the bytes and calls `body` with them; they are valid until it returns.
  ///
  /// - Throws: `ComputeError` if they cannot be read any more, or what `body` throws.
  func withBytes(
    _ part: Range<Int>, _ body: (UnsafeRawPointer) throws(ComputeError) -> Void
  ) throws(ComputeError)
  /// Says which storages are used after this one, so that they can be prefetched.
  func precede(_ next: [any WeightStorage])
  /// Asks the system to read the bytes ahead of their use.
  func prefetch()
  /// Releases bytes that were kept.
  func drop()
}

/// Weights that are always resident.
package final class ResidentStorage: WeightStorage {
  package let byteCount: Int
  private let owner: any AnyObject & Sendable
  nonisolated(unsafe) private let bytes: UnsafeRawPointer

  /// - Parameters:
  ///   - bytes: the first of them.
  ///   - byteCount: how many there are.
  ///   - owner: keeps `bytes` valid.
  package init(_ bytes: UnsafeRawPointer, byteCount: Int, owner: any AnyObject & Sendable) {
    self.bytes = bytes
    self.byteCount = byteCount
    self.owner = owner
  }

  package var keeping: WeightKeeping {
    get { .inPlace }
    set {}
  }

  package func withBytes(
    _ part: Range<Int>, _ body: (UnsafeRawPointer) throws(ComputeError) -> Void
  ) throws(ComputeError) {
    try body(bytes + part.lowerBound)
    withExtendedLifetime(owner) {}
  }

  package func hold() {}
  package func endHold() {}
  package func precede(_ next: [any WeightStorage]) {}
  package func prefetch() {}
  package func drop() {}
}
