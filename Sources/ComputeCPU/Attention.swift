import Compute
import KernelInterface
import Machine

/// Most floats of packed keys and values that exist at once.
private let packedFloats = 8 << 20

extension CPUDevice {
  /// Blocks of queries meet blocks of keys, so that scores exist only for one such pair; each row's
  /// softmax goes on from block to block (online softmax: Milakov and Gimelshein, "Online
  /// normalizer calculation for softmax", 2018). Keys and values are packed once for all queries.
  package func attend(_ attention: Attention, into target: Matrix) throws(ComputeError) {
    precondition(attention.q.rows == target.rows && attention.q.columns == target.columns)
    for sequence in attention.sequences where sequence.count > 0 {
      try timing(.attention) { () throws(ComputeError) in
        try attend(attention, sequence, into: target)
      }
    }
  }

  private func attend(
    _ attention: Attention, _ sequence: AttentionSequence, into target: Matrix
  ) throws(ComputeError) {
    let (heads, headDimension) = (attention.heads, attention.headDimension)
    let headFloats = PackedHead.floatCount(
      keys: sequence.count, headDimension: headDimension, kernels: kernels)
    // As many heads at once as fit, so that threads meet seldom.
    let headsPerPass = max(1, min(heads, packedFloats / max(1, headFloats)))
    let memory = try borrow(count: headsPerPass * headFloats)
    defer { giveBack(memory) }
    for first in stride(from: 0, to: heads, by: headsPerPass) {
      let packed = (first..<min(heads, first + headsPerPass)).map { head in
        let columns = head * headDimension..<(head + 1) * headDimension
        return PackedHead(
          head: head, rows: SequenceRows(sequence),
          keys: HeadRows(
            attention.k.columns(columns), .keys, preparing: attention.preparations,
            kernels: kernels),
          values: attention.v.columns(columns),
          memory: memory.pointer + (head - first) * headFloats, kernels: kernels)
      }
      let tiles = packed[0].tileCount
      let made = HeadRows.scratchCount(
        rows: kernels.columnTile, headDimension: headDimension,
        preparing: attention.preparations)
      try run(packed.count * tiles, scratchCount: made) { index, scratch in
        packed[index / tiles].pack(tile: index % tiles, scratch: scratch)
      }
      let block = QueryBlock(attention, sequence, result: target, kernels: kernels)
      let blocks = block.count
      try run(packed.count * blocks, scratchCount: block.scratchCount) { index, scratch in
        block.attend(to: packed[index / blocks], block: index % blocks, scratch: scratch)
      }
    }
  }
}

extension CPUCosts {
  package func attention(keys: Int, heads: Int, headDimension: Int) -> Int {
    let headFloats = PackedHead.floatCount(
      keys: keys, headDimension: headDimension, kernels: kernels)
    let headsPerPass = max(1, min(heads, packedFloats / max(1, headFloats)))
    let scratch = QueryBlock.scratchCount(headDimension: headDimension, kernels: kernels)
    return 4 * (headsPerPass * headFloats + threadCount * scratch)
  }
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
