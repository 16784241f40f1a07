import COpenBLAS

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

/// Most floats of one block of scores: some query rows against all keys.
private let scoreFloats = 1 << 18

/// Multi-head softmax attention, `softmax(scale · q kᵀ + bias) v`, for several sequences at once.
///
/// Scores exist only for a block of queries of one head at a time.
///
/// - Parameters:
///   - q: queries `[rows, heads · headDimension]`.
///   - k: keys, same shape.
///   - v: values, same shape.
///   - sequences: which rows belong together.
///   - headDimension: elements of one head.
///   - scale: factor on the products.
///   - positionBias: `[heads · keys, keys]` for a single sequence, added to the scores; or nil.
///   - result: same shape as `q`, overwritten; must not be one of the inputs.
///   - pool: threads to compute on.
/// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
package func attend(
  _ q: Matrix, _ k: Matrix, _ v: Matrix, sequences: [AttentionSequence], headDimension: Int,
  scale: Float, positionBias: Matrix? = nil, into result: Matrix, on pool: ThreadPool
) throws(ComputeError) {
  precondition(q.columns % headDimension == 0 && q.columns == v.columns && q.rows == result.rows)
  precondition(positionBias == nil || sequences.count == 1)
  let longest = sequences.map(\.count).max() ?? 0
  let blockRows = max(8, min(256, scoreFloats / max(1, longest)))
  let blocks = queryBlocks(sequences, heads: q.columns / headDimension, rows: blockRows)
  try pool.run(blocks.count, scratchCount: blockRows * longest) { index, scores in
    let block = blocks[index]
    let sequence = sequences[block.sequence]
    let keys = sequence.count
    let columns = block.head * headDimension..<(block.head + 1) * headDimension
    let queries = q.rows(block.rows).columns(columns)
    var offset = 0
    for range in sequence.ranges {
      product(
        queries, k.rows(range).columns(columns), scale: scale, into: scores + offset, stride: keys)
      offset += range.count
    }
    for row in 0..<queries.rows {
      let values = scores + row * keys
      if let bias = sequence.keyBias { values[bias.position] += bias.value }
      if let positionBias {
        let bias = positionBias.row(block.head * keys + block.firstPosition + row)
        mapLanes(values, bias, into: values, count: keys) { $0 + $1 }
      }
      softmax(values, count: keys)
    }
    weightedSum(
      scores, keys: keys, of: v.columns(columns), in: sequence.ranges,
      into: result.rows(block.rows).columns(columns))
  }
}

/// Queries of one head that are worked on together.
private struct QueryBlock {
  let sequence: Int
  let head: Int
  /// Rows of the query matrix.
  let rows: Range<Int>
  /// Place of the first row among the sequence's keys.
  let firstPosition: Int
}

private func queryBlocks(
  _ sequences: [AttentionSequence], heads: Int, rows blockRows: Int
) -> [QueryBlock] {
  var blocks: [QueryBlock] = []
  for (index, sequence) in sequences.enumerated() {
    for head in 0..<heads {
      var position = 0
      for range in sequence.ranges {
        for start in stride(from: range.lowerBound, to: range.upperBound, by: blockRows) {
          let rows = start..<min(range.upperBound, start + blockRows)
          blocks.append(
            QueryBlock(
              sequence: index, head: head, rows: rows,
              firstPosition: position + start - range.lowerBound))
        }
        position += range.count
      }
    }
  }
  return blocks
}

/// `scores = scale · q kᵀ`.
private func product(
  _ q: Matrix, _ k: Matrix, scale: Float, into scores: UnsafeMutablePointer<Float>, stride: Int
) {
  guard k.rows > 0 else { return }
  cblas_sgemm(
    CblasRowMajor, CblasNoTrans, CblasTrans, Int32(q.rows), Int32(k.rows), Int32(q.columns),
    scale, q.pointer, Int32(q.stride), k.pointer, Int32(k.stride), 0, scores, Int32(stride))
}

/// `result = probabilities · v`, summed over the ranges of keys.
private func weightedSum(
  _ probabilities: UnsafeMutablePointer<Float>, keys: Int, of v: Matrix, in ranges: [Range<Int>],
  into result: Matrix
) {
  var offset = 0
  for range in ranges where !range.isEmpty {
    let values = v.rows(range)
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(result.rows), Int32(v.columns),
      Int32(range.count), 1, probabilities + offset, Int32(keys), values.pointer,
      Int32(values.stride), offset == 0 ? 0 : 1, result.pointer, Int32(result.stride))
    offset += range.count
  }
}
