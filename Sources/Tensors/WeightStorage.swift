/// Where the bytes of a stored weight come from, and whether they stay in memory after use.
///
/// A weight's bytes are there while a product uses them. Afterwards they are dropped, unless there
/// is memory to keep them.
package protocol WeightStorage: AnyObject, Sendable {
  /// Size of the whole tensor.
  var byteCount: Int { get }
  /// Whether bytes stay in memory between uses.
  var isKept: Bool { get set }
  /// Gets part of the bytes and calls `body` with them; they are valid until it returns.
  ///
  /// - Throws: `ComputeError` if they cannot be had any more, or what `body` throws.
  func withBytes(
    _ part: Range<Int>, _ body: (UnsafeRawPointer) throws(ComputeError) -> Void
  ) throws(ComputeError)
  /// Says which storages are used after this one, so that they can be read ahead.
  func precede(_ next: [any WeightStorage])
  /// Asks the system to read the bytes soon.
  func prefetch()
  /// Forgets bytes that were kept.
  func drop()
}

/// Memory that is always there.
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

  package var isKept: Bool {
    get { true }
    set {}
  }

  package func withBytes(
    _ part: Range<Int>, _ body: (UnsafeRawPointer) throws(ComputeError) -> Void
  ) throws(ComputeError) {
    try body(bytes + part.lowerBound)
    withExtendedLifetime(owner) {}
  }

  package func precede(_ next: [any WeightStorage]) {}
  package func prefetch() {}
  package func drop() {}
}

/// Weights in the order in which a network uses them: read a little ahead, and kept as far as
/// memory allows.
package struct WeightStream: Sendable {
  private let storages: [any WeightStorage]
  /// Weights that are asked for while one is used. More would only push each other out of a page
  /// cache that is as small as the budget.
  private static let ahead = 2

  /// - Parameters:
  ///   - weights: in the order of use.
  ///   - repeats: whether the first follows the last.
  package init(_ weights: [WeightMatrix], repeats: Bool = false) {
    var seen: Set<ObjectIdentifier> = []
    let storages = weights.flatMap { $0.segments.map(\.storage) }
      .filter { seen.insert(ObjectIdentifier($0)).inserted }
    self.storages = storages
    for (index, storage) in storages.enumerated() {
      let next = index + 1..<index + 1 + min(Self.ahead, storages.count - 1)
      storage.precede(
        next.filter { repeats || $0 < storages.count }.map { storages[$0 % storages.count] })
    }
  }

  /// Bytes of all weights.
  package var byteCount: Int { storages.reduce(0) { $0 + $1.byteCount } }
  /// Bytes of the largest weight.
  package var largestByteCount: Int { storages.map(\.byteCount).max() ?? 0 }

  /// Keeps the first weights that fit into some memory, and no others.
  ///
  /// Every step uses all weights in the same order; the first ones are as good as any.
  ///
  /// - Returns: the bytes that are kept.
  @discardableResult
  package func keep(atMost bytes: Int) -> Int {
    var kept = 0
    for storage in storages {
      storage.isKept = storage.byteCount <= bytes - kept
      if storage.isKept { kept += storage.byteCount } else { storage.drop() }
    }
    return kept
  }

  /// The bytes that `keep` would keep.
  package func keptByteCount(atMost bytes: Int) -> Int {
    storages.reduce(0) { $0 + ($1.byteCount <= bytes - $0 ? $1.byteCount : 0) }
  }

  /// Forgets what was kept.
  package func drop() { for storage in storages { storage.drop() } }
}
