import BlockFormats
import Checkpoints
import Foundation
import Kernels
import Machine
import ModelFiles
import Quantization
import Synchronization

/// Converts tensors one after the other, in tiles of rows on many threads: memory does not depend
/// on the size of a tensor. The next tiles are read ahead and the last ones written behind.
///
/// Which elements form a tile depends on the tensor alone, so bytes and errors are the same for any
/// number of threads.
final class TensorConverter {
  /// Elements of one task: its floats, before and after, stay in a core's cache.
  private static let tileElements = 32 << 10
  /// Bytes that are made before they are written.
  private static let batchBytes = 8 << 20
  /// Bytes of the input that the system is asked to read ahead.
  private static let aheadBytes = 32 << 20

  private let options: ConversionOptions
  private let pool: ThreadPool
  private let output: WriteBehind
  private let onBytes: (_ sourceByteCount: Int) -> Void
  private let readAhead = DispatchQueue(label: "auraflow.read-ahead", qos: .utility)

  /// - Parameters:
  ///   - options: how to convert.
  ///   - pool: threads to work on; cancelling it ends the work.
  ///   - output: takes contents in order.
  ///   - onBytes: told of bytes of the input that are done.
  init(
    _ options: ConversionOptions, on pool: ThreadPool, to output: WriteBehind,
    onBytes: @escaping (_ sourceByteCount: Int) -> Void
  ) {
    self.options = options
    self.pool = pool
    self.output = output
    self.onBytes = onBytes
  }

  /// Converts and writes one tensor.
  ///
  /// - Parameters:
  ///   - tensor: the tensor.
  ///   - next: what comes after it, to be read ahead.
  /// - Returns: its error and oddities.
  /// - Throws: `ModelFileError`, `ConversionError` for weights that are not finite, `ComputeError`
  ///   if the pool is cancelled.
  func convert(_ tensor: ConversionPlan.Tensor, next: PartTensor?) throws -> TensorOutcome {
    let task = try TileTask(tensor, options, kernels: KernelSelection.current)
    let layout = Tiles(tensor, elements: Self.tileElements, batchBytes: Self.batchBytes)
    var sums = TileSums()
    var first = 0
    while first < tensor.elementCount {
      let count = min(layout.batchElements, tensor.elementCount - first)
      try tensor.source.file.checkUnchanged()
      prefetch(tensor.source, after: first + count, next)
      let buffer = try output.buffer(layout.targetBytes(count))
      do {
        let batch = try convertBatch(first..<first + count, task, layout, into: buffer)
        try note(batch, first: first, tensor, &sums)
      } catch {
        output.abandon()
        throw error
      }
      output.write(buffer, count: layout.targetBytes(count))
      onBytes(layout.sourceBytes(count))
      first += count
    }
    return outcome(tensor, sums)
  }

  private func outcome(_ tensor: ConversionPlan.Tensor, _ sums: TileSums) -> TensorOutcome {
    var outcome = TensorOutcome(
      name: tensor.name, type: tensor.type, sourceType: tensor.source.type,
      elementCount: tensor.elementCount, byteCount: tensor.byteCount)
    outcome.notFiniteCount = sums.notFiniteCount
    let source = tensor.source
    if let start = source.ranges.map(\.lowerBound).min(),
      let end = source.ranges.map(\.upperBound).max()
    {
      outcome.content = StoredContent(
        source.file, name: source.storedName, shape: source.shape,
        isTokenTable: source.isTokenTable, range: start..<end,
        end: sums.contentEnd)
    }
    if tensor.isCopied {
      outcome.relativeError = 0
    } else if options.measuresErrors, sums.notFiniteCount == 0 {
      outcome.relativeError =
        sums.square > 0 ? (sums.squaredError / sums.square).squareRoot() : 0
    }
    return outcome
  }

  // MARK: Batches

  /// Runs the tiles of some elements and adds up what they counted, in their order.
  private func convertBatch(
    _ range: Range<Int>, _ task: TileTask, _ layout: Tiles,
    into buffer: UnsafeMutableRawBufferPointer
  ) throws -> TileSums {
    let count = (range.count + layout.tileElements - 1) / layout.tileElements
    let fault = Mutex<(tile: Int, error: ModelFileError)?>(nil)
    let results = UnsafeMutablePointer<TileSums>.allocate(capacity: count)
    results.initialize(repeating: TileSums(), count: count)
    defer { results.deallocate() }
    try pool.run(count, scratchCount: layout.scratchFloats) { index, scratch in
      let first = range.lowerBound + index * layout.tileElements
      let tile = first..<min(range.upperBound, first + layout.tileElements)
      let target = UnsafeMutableRawBufferPointer(
        rebasing: buffer[
          layout.targetBytes(
            first - range.lowerBound)..<layout.targetBytes(
              tile.upperBound - range.lowerBound)])
      do throws(ModelFileError) {
        results[index] = try task.convert(tile, layout, scratch, into: target)
      } catch {
        fault.withLock { known in
          if index < known?.tile ?? .max { known = (index, error) }
        }
      }
    }
    if let fault = fault.withLock({ $0 }) { throw fault.error }
    var sums = TileSums()
    for index in 0..<count {
      sums.merge(results[index], offset: index * layout.tileElements)
    }
    return sums
  }

  private func note(
    _ batch: TileSums, first: Int, _ tensor: ConversionPlan.Tensor, _ sums: inout TileSums
  ) throws(ConversionError) {
    sums.merge(batch, offset: first)
    guard sums.firstNotFinite >= 0, !options.allowsNotFinite else { return }
    throw notFinite(sums, tensor)
  }

  /// The error about the first weight that is not finite or too large.
  private func notFinite(_ sums: TileSums, _ tensor: ConversionPlan.Tensor) -> ConversionError {
    var index = sums.firstNotFinite
    var place: [Int] = []
    for dimension in tensor.shape.reversed() {
      place.insert(index % max(1, dimension), at: 0)
      index /= max(1, dimension)
    }
    let what = sums.value.isNaN ? "NaN" : "\(sums.value)"
    let fault =
      sums.isOverflow
      ? "tensor '\(tensor.name)' holds \(what) at index \(place), more than \(tensor.type.name) can "
        + "hold: pass --rule with this name and BF16 or F32"
      : "tensor '\(tensor.name)' holds \(what) at index \(place): the file is damaged or its "
        + "training failed; --allow-nonfinite converts it all the same"
    return .notFinite(path: tensor.source.file.path, fault: fault)
  }

  private func prefetch(_ tensor: PartTensor, after element: Int, _ next: PartTensor?) {
    let start = element / tensor.type.elementsPerBlock * tensor.type.bytesPerBlock
    let end = min(tensor.byteCount, start + Self.aheadBytes)
    let rest = start + Self.aheadBytes - end
    let following = next.map { next in
      next.pieces(0..<min(next.byteCount, rest)).map { (next.file, $0) }
    }
    let pieces = tensor.pieces(start..<end).map { (tensor.file, $0) } + (following ?? [])
    // May wait for the device; computing must not.
    readAhead.async { for (file, range) in pieces { file.prefetch(range) } }
  }
}

extension TileSums {
  /// Adds what another piece counted, which begins some elements later.
  mutating func merge(_ other: TileSums, offset: Int) {
    squaredError += other.squaredError
    square += other.square
    notFiniteCount += other.notFiniteCount
    contentEnd = max(contentEnd, other.contentEnd)
    if firstNotFinite < 0, other.firstNotFinite >= 0 {
      (firstNotFinite, isOverflow, value) = (
        offset + other.firstNotFinite, other.isOverflow, other.value
      )
    }
  }
}
