/// A run of text that byte-pair encoding treats as one unit, in a doubly linked list.
struct Symbol {
  /// What the merge rules know the symbol by.
  var id: Int32
  /// Where its text starts.
  var start: Int
  /// Bytes of its text; 0 once it was merged into the symbol on its left.
  var length: Int
  /// Position of the neighbours in the list; -1 at the ends.
  var previous: Int
  var next: Int
}

/// What two neighbouring symbols may become.
struct MergeRule {
  /// Lower ranks are applied first.
  let rank: UInt32
  /// The id of the symbol that results.
  let result: Int32
}

/// The rules of one kind of byte-pair encoding.
protocol MergeRules {
  /// The rule for two neighbours; nil if they stay apart.
  func rule(_ left: Symbol, _ right: Symbol) -> MergeRule?
  /// Told once for every candidate that is put in the queue.
  mutating func willQueue(_ left: Symbol, _ right: Symbol, _ rule: MergeRule)
}

extension MergeRules {
  mutating func willQueue(_ left: Symbol, _ right: Symbol, _ rule: MergeRule) {}
}

extension [Symbol] {
  /// Adds a symbol behind the last one.
  mutating func appendLinked(id: Int32, start: Int, length: Int) {
    if !isEmpty { self[count - 1].next = count }
    append(Symbol(id: id, start: start, length: length, previous: count - 1, next: -1))
  }

  /// Merges neighbours until no rule applies: lowest rank first, leftmost on ties.
  ///
  /// Merged symbols keep length 0; follow `next` from the first symbol to read the result.
  mutating func mergeAll(_ rules: inout some MergeRules) {
    var queue = MergeQueue()
    func enqueue(_ left: Int, _ rules: inout some MergeRules, _ symbols: borrowing [Symbol]) {
      guard left >= 0, symbols[left].next >= 0 else { return }
      let right = symbols[left].next
      guard let rule = rules.rule(symbols[left], symbols[right]) else { return }
      rules.willQueue(symbols[left], symbols[right], rule)
      queue.push(.init(rank: rule.rank, position: left, result: rule.result))
    }
    for index in indices { enqueue(index, &rules, self) }
    while let candidate = queue.popFirst() {
      let left = candidate.position
      let right = self[left].next
      // The symbols may have changed since the candidate was queued.
      guard self[left].length > 0, right >= 0,
        rules.rule(self[left], self[right])?.result == candidate.result
      else { continue }
      self[left].id = candidate.result
      self[left].length += self[right].length
      self[left].next = self[right].next
      self[right].length = 0
      if self[left].next >= 0 { self[self[left].next].previous = left }
      enqueue(self[left].previous, &rules, self)
      enqueue(left, &rules, self)
    }
  }
}

/// Merge candidates, the one to apply next first.
private struct MergeQueue {
  struct Candidate {
    /// Rank in the upper half, position in the lower: one comparison orders both.
    let order: UInt64
    let result: Int32

    init(rank: UInt32, position: Int, result: Int32) {
      order = UInt64(rank) << 32 | UInt64(UInt32(truncatingIfNeeded: position))
      self.result = result
    }

    var position: Int { Int(UInt32(truncatingIfNeeded: order)) }
  }

  /// A binary heap: no element comes before its parent.
  private var heap: [Candidate] = []

  mutating func push(_ candidate: Candidate) {
    heap.append(candidate)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].order < heap[parent].order else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func popFirst() -> Candidate? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].order < heap[least].order {
        least = child
      }
      guard least != parent else { return first }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
