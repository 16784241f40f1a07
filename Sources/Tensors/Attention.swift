import KernelInterface

/// The rows that attend to each other: one picture with its text, or one prompt.
package struct AttentionSequence: Sendable {
  /// Rows of the query, key and value matrices, as ranges; keys are taken in this order.
  package let ranges: [Range<Int>]
  /// Added to the score of one key, by its place among the keys.
  package let keyBias: (position: Int, value: Float)?

  package init(ranges: [Range<Int>], keyBias: (position: Int, value: Float)? = nil) {
    self.ranges = ranges
    self.keyBias = keyBias
  }

  /// Number of keys.
  package var count: Int { ranges.reduce(0) { $0 + $1.count } }
}

/// Most floats of packed keys and values that exist at once.
private let packedFloats = 8 << 20

/// Multi-head softmax attention, `softmax(scale · q kᵀ + bias) v`, for several sequences at once.
///
/// Blocks of queries meet blocks of keys, so that scores exist only for one such pair; each row's
/// softmax goes on from block to block (Milakov and Gimelshein, "Online normalizer calculation for
/// softmax", 2018). Keys and values are packed once for all queries.
///
/// - Parameters:
///   - q: queries `[rows, heads · headDimension]`.
///   - k: keys, same shape.
///   - v: values, same shape.
///   - sequences: which rows belong together.
///   - headDimension: elements of one head.
///   - epsilon: what is added to variances, if each head of queries and keys is first brought to
///     mean 0 and variance 1; nil to take them as they are.
///   - scale: factor on the products.
///   - positionBias: `[heads · keys, keys]` for a single sequence, added to the scores; or nil.
///   - result: same shape as `q`, overwritten; must not be one of the inputs.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func attend(
  _ q: Matrix, _ k: Matrix, _ v: Matrix, sequences: [AttentionSequence], headDimension: Int,
  normalizing epsilon: Float? = nil, scale: Float, positionBias: Matrix? = nil,
  into result: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  precondition(q.columns % headDimension == 0 && q.columns == v.columns && q.rows == result.rows)
  precondition(positionBias == nil || sequences.count == 1)
  for sequence in sequences where sequence.count > 0 {
    try pool.timing(.attention) { () throws(ComputeError) in
      try attend(
        q, k, v, sequence: sequence, headDimension: headDimension, epsilon: epsilon, scale: scale,
        positionBias: positionBias, into: result, on: pool)
    }
  }
}

private func attend(
  _ q: Matrix, _ k: Matrix, _ v: Matrix, sequence: AttentionSequence, headDimension: Int,
  epsilon: Float?, scale: Float, positionBias: Matrix?, into result: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  let heads = q.columns / headDimension
  let headFloats = PackedHead.floatCount(
    keys: sequence.count, headDimension: headDimension, kernels: pool.kernels)
  // As many heads at once as fit, so that threads meet seldom.
  let headsPerPass = max(1, min(heads, packedFloats / max(1, headFloats)))
  let memory = try pool.borrow(count: headsPerPass * headFloats)
  defer { pool.giveBack(memory) }
  for first in stride(from: 0, to: heads, by: headsPerPass) {
    let packed = (first..<min(heads, first + headsPerPass)).map { head in
      let columns = head * headDimension..<(head + 1) * headDimension
      return PackedHead(
        head: head, rows: SequenceRows(sequence),
        keys: HeadRows(k.columns(columns), epsilon: epsilon, kernels: pool.kernels),
        values: v.columns(columns), memory: memory.pointer + (head - first) * headFloats,
        kernels: pool.kernels)
    }
    let tiles = packed[0].tileCount
    let made = HeadRows.scratchCount(
      rows: pool.kernels.columnTile, headDimension: headDimension, epsilon: epsilon)
    try pool.run(packed.count * tiles, scratchCount: made) { index, scratch in
      packed[index / tiles].pack(tile: index % tiles, scratch: scratch)
    }
    let block = QueryBlock(
      q: q, epsilon: epsilon, result: result, sequence: sequence, scale: scale,
      positionBias: positionBias, headDimension: headDimension, kernels: pool.kernels)
    let blocks = block.count
    try pool.run(packed.count * blocks, scratchCount: block.scratchCount) { index, scratch in
      block.attend(to: packed[index / blocks], block: index % blocks, scratch: scratch)
    }
  }
}

/// Bytes that `attend` allocates beside its arguments for a sequence of some keys.
package func attentionWorkspace(
  keys: Int, heads: Int, headDimension: Int, on pool: ThreadPool
) -> Int {
  let headFloats = PackedHead.floatCount(
    keys: keys, headDimension: headDimension, kernels: pool.kernels)
  let headsPerPass = max(1, min(heads, packedFloats / max(1, headFloats)))
  let scratch = QueryBlock.scratchCount(headDimension: headDimension, kernels: pool.kernels)
  return 4 * (headsPerPass * headFloats + pool.threadCount * scratch)
}

/// The places of a sequence as runs of consecutive matrix rows.
struct SequenceRows {
  private let ranges: [Range<Int>]

  init(_ sequence: AttentionSequence) { ranges = sequence.ranges }

  var count: Int { ranges.reduce(0) { $0 + $1.count } }

  /// Calls `body` with each run of rows that some places stand for, and with how many places came
  /// before.
  func forEachRun(_ places: Range<Int>, _ body: (_ rows: Range<Int>, _ before: Int) -> Void) {
    var start = 0
    for range in ranges {
      let part = places.clamped(to: start..<start + range.count)
      if !part.isEmpty {
        let first = range.lowerBound + part.lowerBound - start
        body(first..<first + part.count, part.lowerBound - places.lowerBound)
      }
      start += range.count
    }
  }
}
