import Compute
import KernelInterface

/// The keys and values of one head, packed like weights: keys as columns of a product with
/// queries, values as columns of a product with probabilities.
struct PackedHead: @unchecked Sendable {
  let head: Int
  let rows: SequenceRows
  private let keyRows: HeadRows
  private let valueRows: Matrix
  private let keys: UnsafeMutablePointer<Float>
  private let values: UnsafeMutablePointer<Float>
  private let kernels: KernelSet

  /// Keys that are met at once: their scores and packed values stay in the second-level cache.
  static func blockKeys(_ kernels: KernelSet) -> Int {
    192 / kernels.columnTile * kernels.columnTile
  }

  /// Floats for the packed keys and values of one head.
  static func floatCount(keys: Int, headDimension: Int, kernels: KernelSet) -> Int {
    let tile = kernels.columnTile
    return (keys + tile - 1) / tile * tile * headDimension
      + keys * ((headDimension + tile - 1) / tile * tile)
  }

  init(
    head: Int, rows: SequenceRows, keys keyRows: HeadRows, values valueRows: Matrix,
    memory: UnsafeMutablePointer<Float>, kernels: KernelSet
  ) {
    self.head = head
    self.rows = rows
    self.keyRows = keyRows
    self.valueRows = valueRows
    self.kernels = kernels
    keys = memory
    let tile = kernels.columnTile
    values = memory + (rows.count + tile - 1) / tile * tile * valueRows.columns
  }

  private var headDimension: Int { valueRows.columns }
  /// Tiles of values across the head.
  var valueTiles: Int { (headDimension + kernels.columnTile - 1) / kernels.columnTile }
  /// Blocks of keys; one task packs one of them.
  var tileCount: Int { (rows.count + Self.blockKeys(kernels) - 1) / Self.blockKeys(kernels) }

  /// Keys of a block, by their places in the sequence.
  func places(block: Int) -> Range<Int> {
    let size = Self.blockKeys(kernels)
    return block * size..<min(rows.count, (block + 1) * size)
  }

  /// `[headDimension, columnTile]`, for the keys from a place on.
  func keys(from place: Int) -> UnsafeMutablePointer<Float> { keys + place * headDimension }

  /// `[keys of the block, columnTile]`, for one tile across the head.
  func values(block: Int, tile: Int) -> UnsafeMutablePointer<Float> {
    let places = places(block: block)
    return values
      + (places.lowerBound * valueTiles + places.count * tile) * kernels.columnTile
  }

  /// Packs the keys and values of one block. `scratch` is what `HeadRows` wants for a tile.
  func pack(tile block: Int, scratch: UnsafeMutablePointer<Float>) {
    let width = kernels.columnTile
    let places = places(block: block)
    keyRows.pack(
      places, of: rows, into: keys(from: places.lowerBound), width: width, scratch: scratch)
    for tile in 0..<valueTiles {
      let columns = tile * width..<min(headDimension, (tile + 1) * width)
      var target = values(block: block, tile: tile)
      rows.forEachRun(places) { rows, _ in
        for row in rows {
          target.update(from: valueRows.row(row) + columns.lowerBound, count: columns.count)
          if columns.count < width {
            (target + columns.count).update(repeating: 0, count: width - columns.count)
          }
          target += width
        }
      }
    }
  }
}

/// Blocks of queries of one head, each against all keys.
struct QueryBlock: @unchecked Sendable {
  private let q: Matrix
  private let preparations: [HeadPreparation]
  private let result: Matrix
  private let rows: SequenceRows
  private let keyBias: (position: Int, value: Float)?
  private let scale: Float
  private let isCausal: Bool
  private let distanceBias: Matrix?
  private let headDimension: Int
  private let kernels: KernelSet

  /// Queries of one block: enough to use packed keys well, few enough to stay in cache.
  private let size: Int
  /// Floats from one row of unfinished results to the next.
  private let width: Int

  init(
    _ attention: Attention, _ sequence: AttentionSequence, result: Matrix, kernels: KernelSet
  ) {
    q = attention.q
    preparations = attention.preparations
    isCausal = attention.isCausal
    self.result = result
    scale = attention.scale
    distanceBias = attention.distanceBias
    headDimension = attention.headDimension
    self.kernels = kernels
    rows = SequenceRows(sequence)
    keyBias = sequence.keyBias
    size = Self.size(kernels)
    width = Self.width(headDimension, kernels)
  }

  private static func size(_ kernels: KernelSet) -> Int {
    max(1, 64 / kernels.rowTile) * kernels.rowTile
  }

  private static func width(_ headDimension: Int, _ kernels: KernelSet) -> Int {
    (headDimension + kernels.columnTile - 1) / kernels.columnTile * kernels.columnTile
  }

  /// Number of blocks.
  var count: Int { (rows.count + size - 1) / size }

  /// Floats of scratch memory for one block.
  var scratchCount: Int { Self.scratchCount(headDimension: headDimension, kernels: kernels) }

  static func scratchCount(headDimension: Int, kernels: KernelSet) -> Int {
    let keys = PackedHead.blockKeys(kernels)
    return size(kernels) * (headDimension + width(headDimension, kernels) + keys)
      + kernels.rowTile * keys
  }

  /// Computes one block of one head.
  func attend(to head: PackedHead, block: Int, scratch: UnsafeMutablePointer<Float>) {
    let keyCount = PackedHead.blockKeys(kernels)
    let places = block * size..<min(rows.count, (block + 1) * size)
    let queries = scratch
    let sums = queries + size * headDimension
    let scores = sums + size * width
    let probabilities = scores + size * keyCount
    // Rows that are prepared lie where sums will be.
    let columns = head.head * headDimension..<(head.head + 1) * headDimension
    HeadRows(q.columns(columns), .queries, preparing: preparations, kernels: kernels).pack(
      places, of: rows, into: queries, width: kernels.rowTile, scratch: sums)
    sums.update(repeating: 0, count: size * width)
    var softmax = (0..<places.count).map { row in
      SoftmaxRow(scores: scores + row * keyCount, count: 0, scale: scale)
    }
    for keyBlock in 0..<head.tileCount {
      let keys = head.places(block: keyBlock)
      if isCausal, keys.lowerBound >= places.upperBound { break }
      score(places.count, queries, head, keys, into: scores)
      for row in 0..<places.count {
        bias(softmax[row].scores, place: places.lowerBound + row, head: head.head, keys)
        softmax[row].count = visible(keys, from: places.lowerBound + row, softmax[row].scores)
        if softmax[row].count == 0 { continue }
        kernels.continueSoftmax(&softmax[row])
        if softmax[row].correction != 1 {
          let (sums, factor) = (sums + row * width, softmax[row].correction)
          for index in 0..<width { sums[index] *= factor }
        }
      }
      gather(places.count, scores, probabilities, head, keyBlock, into: sums)
    }
    write(places, sums, softmax, head: head.head)
  }

  /// How many of a block's keys a place sees. The probabilities of the others become 0.
  private func visible(
    _ keys: Range<Int>, from place: Int, _ scores: UnsafeMutablePointer<Float>
  ) -> Int {
    guard isCausal else { return keys.count }
    let count = max(0, min(keys.count, place + 1 - keys.lowerBound))
    (scores + count).update(repeating: 0, count: keys.count - count)
    return count
  }

  /// `scores = q kᵀ` for one block of keys.
  private func score(
    _ count: Int, _ queries: UnsafeMutablePointer<Float>, _ head: PackedHead, _ keys: Range<Int>,
    into scores: UnsafeMutablePointer<Float>
  ) {
    let stride = PackedHead.blockKeys(kernels)
    scores.update(repeating: 0, count: size * stride)
    for key in Swift.stride(from: keys.lowerBound, to: keys.upperBound, by: kernels.columnTile) {
      for row in Swift.stride(from: 0, to: count, by: kernels.rowTile) {
        var tile = FloatTile(
          activations: queries + row * headDimension, weights: head.keys(from: key),
          width: headDimension, rows: kernels.rowTile,
          columns: min(kernels.columnTile, keys.upperBound - key),
          result: scores + row * stride + key - keys.lowerBound, resultStride: stride)
        kernels.multiplyFloats(&tile)
      }
    }
  }

  /// Adds to one row's scores, which are scaled later, what belongs to single keys or positions.
  private func bias(
    _ scores: UnsafeMutablePointer<Float>, place: Int, head: Int, _ keys: Range<Int>
  ) {
    if let keyBias, keys.contains(keyBias.position) {
      scores[keyBias.position - keys.lowerBound] += keyBias.value / scale
    }
    if let distanceBias {
      let values = distanceBias.row(head) + (keys.lowerBound - place + rows.count - 1)
      for index in 0..<keys.count { scores[index] += values[index] / scale }
    }
  }

  /// `sums += probabilities · v` for one block of keys.
  private func gather(
    _ count: Int, _ scores: UnsafeMutablePointer<Float>,
    _ probabilities: UnsafeMutablePointer<Float>, _ head: PackedHead, _ block: Int,
    into sums: UnsafeMutablePointer<Float>
  ) {
    let keys = head.places(block: block).count
    for row in stride(from: 0, to: count, by: kernels.rowTile) {
      var transposition = Transposition(
        source: scores + row * PackedHead.blockKeys(kernels),
        sourceStride: PackedHead.blockKeys(kernels), rows: kernels.rowTile, columns: keys,
        destination: probabilities, destinationStride: kernels.rowTile)
      kernels.transpose(&transposition)
      for tile in 0..<head.valueTiles {
        var product = FloatTile(
          activations: probabilities, weights: head.values(block: block, tile: tile), width: keys,
          rows: kernels.rowTile,
          columns: min(kernels.columnTile, headDimension - tile * kernels.columnTile),
          result: sums + row * width + tile * kernels.columnTile, resultStride: width)
        kernels.multiplyFloats(&product)
      }
    }
  }

  /// Divides by the sums of the exponentials.
  private func write(
    _ places: Range<Int>, _ sums: UnsafeMutablePointer<Float>, _ softmax: [SoftmaxRow], head: Int
  ) {
    rows.forEachRun(places) { rows, before in
      for (index, row) in rows.enumerated() {
        let source = sums + (before + index) * width
        let target = result.row(row) + head * headDimension
        let factor = 1 / softmax[before + index].sum
        for column in 0..<headDimension { target[column] = source[column] * factor }
      }
    }
  }
}
