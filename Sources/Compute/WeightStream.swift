/// Weights in the order in which a network uses them: prefetched, and resident as far as memory
/// allows.
package struct WeightStream: Sendable {
  /// What is used together, perhaps several times, before the rest.
  private let layers: [[any WeightStorage]]
  /// Bytes of each weight, which may be stored in several places.
  private let weightBytes: [Int]
  /// Weights that are asked for while one is used, or several are together. More would only push
  /// each other out of a page cache that is as small as the budget.
  private static let ahead = 2

  /// - Parameters:
  ///   - layers: weights in the order of use; those of one layer are resident together.
  ///   - repeats: whether the first follows the last.
  package init(_ layers: [[WeightMatrix]], repeats: Bool = false) {
    var seen: Set<ObjectIdentifier> = []
    let weights = layers.map { layer in
      layer.map { weight in
        weight.storages.filter { seen.insert(ObjectIdentifier($0)).inserted }
      }.filter { !$0.isEmpty }
    }
    self.layers = weights.map { $0.flatMap { $0 } }
    let order = weights.flatMap { $0 }
    weightBytes = order.map { $0.reduce(0) { $0 + $1.byteCount } }
    for (index, storages) in order.enumerated() {
      let next = (index + 1..<index + 1 + min(Self.ahead, order.count - 1))
        .filter { repeats || $0 < order.count }.flatMap { order[$0 % order.count] }
      for (place, storage) in storages.enumerated() {
        storage.precede(Array(storages[(place + 1)...]) + next)
      }
    }
  }

  private var storages: [any WeightStorage] { layers.flatMap { $0 } }

  /// Bytes of all weights.
  package var byteCount: Int { storages.reduce(0) { $0 + $1.byteCount } }
  /// Bytes of the largest layer.
  package var largestLayerBytes: Int {
    layers.map { $0.reduce(0) { $0 + $1.byteCount } }.max() ?? 0
  }

  /// Runs `body`, which uses the weights of a layer, and keeps them resident until it returns.
  package func holding(
    layer: Int, _ body: () throws(ComputeError) -> Void
  ) throws(ComputeError) {
    for storage in layers[layer] { storage.hold() }
    defer { for storage in layers[layer] { storage.endHold() } }
    try body()
  }

  /// Keeps all weights resident.
  package func keepAll() { keep(atMost: .max) }

  /// Keeps the first weights that fit into a budget resident, and no others.
  ///
  /// Every step uses all weights in the same order; the first ones are as good as any. Where others
  /// do not fit, the first are copied: what passes through would push their pages out.
  ///
  /// - Returns: the bytes that are kept.
  @discardableResult
  package func keep(atMost bytes: Int) -> Int {
    var kept = 0
    let keeping: WeightKeeping = byteCount <= bytes ? .inPlace : .copied
    for storage in storages {
      if storage.byteCount <= bytes - kept {
        storage.keeping = keeping
        kept += storage.byteCount
      } else {
        storage.keeping = .none
        storage.drop()
      }
    }
    return kept
  }

  /// The bytes that `keep` would keep, and of what it would not, those of the largest layer.
  package func residence(keepingAtMost bytes: Int) -> (kept: Int, passing: Int) {
    var (kept, passing) = (0, 0)
    for layer in layers {
      var rest = 0
      for storage in layer {
        if storage.byteCount <= bytes - kept {
          kept += storage.byteCount
        } else {
          rest += storage.byteCount
        }
      }
      passing = max(passing, rest)
    }
    return (kept, passing)
  }

  /// Most bytes that are prefetched. They lie in the system's page cache, which a limit
  /// on the whole process's memory counts too.
  package var aheadBytes: Int {
    weightBytes.sorted().suffix(Self.ahead).reduce(0, +)
  }

  /// The most that can stay resident if everything else has to pass through the same memory. What
  /// is prefetched needs memory too, as far as there is any: otherwise it would be evicted before
  /// its use and be read again.
  package func residence(within bytes: Int) -> (kept: Int, passing: Int) {
    if byteCount <= bytes { return (byteCount, 0) }
    let bytes = max(0, bytes - aheadBytes)
    var best = residence(keepingAtMost: max(0, bytes - largestLayerBytes))
    // The more is kept, the less passes through, which again leaves room.
    while true {
      let next = residence(keepingAtMost: max(0, bytes - best.passing))
      guard next.kept > best.kept, next.kept + next.passing <= bytes else { return best }
      best = next
    }
  }

  /// Releases what was kept.
  package func drop() { for storage in storages { storage.drop() } }
}
