import BlockFormats
import Checkpoints
import Foundation
import Kernels
import Machine
import ModelFiles
import Quantization
import Synchronization

/// Converts tensors one after the other, in tiles of rows on many threads: memory does not depend
/// on the number of rows of a tensor. The next tiles are read ahead and the last ones written
/// behind. What is rounded with error feedback takes a matrix of its columns by its columns too.
///
/// Which elements form a tile depends on the tensor alone, so bytes and errors are the same for any
/// number of threads.
final class TensorConverter {
  /// Elements of one task: its floats, before and after, stay in a core's cache. (With error
  /// feedback a task has 64 rows.)
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
    let feedback = try feedbackQuantizer(of: tensor)
    let task = try TileTask(tensor, options, feedback, kernels: KernelSelection.current)
    let layout = Tiles(
      tensor, elements: Self.tileElements, batchBytes: Self.batchBytes, feedback)
    var sums = TileSums()
    var first = 0
    while first < tensor.elementCount {
      let count = min(layout.batchElements, tensor.elementCount - first)
      for piece in tensor.source.pieces { try piece.file.checkUnchanged() }
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
      onBytes(tensor.source.storedBytes(first..<first + count))
      first += count
    }
    return outcome(tensor, sums, task.contentEnds)
  }

  /// How a tensor of known inputs is rounded.
  private func feedbackQuantizer(
    of tensor: ConversionPlan.Tensor
  ) throws(ComputeError) -> FeedbackQuantizer? {
    guard tensor.isRounded, options.finished?.blocks(of: tensor) == nil else { return nil }
    return try options.inputs?(tensor.source.name, tensor.shape.last ?? 1)?.quantizer(
      to: tensor.type, quality: options.quality)
  }

  private func outcome(
    _ tensor: ConversionPlan.Tensor, _ sums: TileSums, _ ends: ContentEnds
  ) -> TensorOutcome {
    var outcome = TensorOutcome(
      name: tensor.name, type: tensor.type, sourceType: tensor.source.type,
      elementCount: tensor.elementCount, byteCount: tensor.byteCount)
    outcome.notFiniteCount = sums.notFiniteCount
    let source = tensor.source
    outcome.contents = zip(source.pieces, ends.values).map { piece, end in
      StoredContent(
        piece.file, name: piece.storedName, shape: source.shape,
        isTokenTable: source.isTokenTable && source.pieces.count == 1, range: piece.range, end: end)
    }
    if tensor.isCopied {
      outcome.relativeError = 0
    } else if options.measuresErrors, sums.notFiniteCount == 0 {
      outcome.relativeError =
        sums.square > 0 ? (sums.squaredError / sums.square).squareRoot() : 0
      if sums.productSquare > 0 {
        outcome.productError = (sums.productError / sums.productSquare).squareRoot()
      } else if let finished = options.finished, finished.blocks(of: tensor) != nil {
        outcome.productError = finished.productErrors[tensor.source.name]
      }
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
    let unit = tensor.source.blockElements
    let block = sums.firstNotFinite / unit * unit
    let piece = tensor.source.slices(block..<block + unit).first?.piece
    return .notFinite(path: piece?.file.path ?? tensor.source.path, fault: fault)
  }

  private func prefetch(_ tensor: PartTensor, after element: Int, _ next: PartTensor?) {
    let slices =
      tensor.slices(element..<tensor.elementCount)
      + (next.map { $0.slices(0..<$0.elementCount) } ?? [])
    var rest = Self.aheadBytes
    var ranges: [(file: MappedFile, range: Range<Int>)] = []
    for slice in slices where rest > 0 {
      let range = slice.range.prefix(rest)
      ranges.append((slice.piece.file, range))
      rest -= range.count
    }
    // May wait for the device; computing must not.
    readAhead.async { [ranges] in
      for (file, range) in ranges { file.prefetch(range) }
    }
  }
}

extension TileSums {
  /// Adds what another piece counted, which begins some elements later.
  mutating func merge(_ other: TileSums, offset: Int) {
    squaredError += other.squaredError
    square += other.square
    productError += other.productError
    productSquare += other.productSquare
    notFiniteCount += other.notFiniteCount
    if firstNotFinite < 0, other.firstNotFinite >= 0 {
      (firstNotFinite, isOverflow, value) = (
        offset + other.firstNotFinite, other.isOverflow, other.value
      )
    }
  }
}
