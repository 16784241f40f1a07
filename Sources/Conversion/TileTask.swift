import BlockFormats
import KernelInterface
import ModelFiles
import Quantization

/// How a tensor is cut into tiles and batches.
struct Tiles {
  let tileElements: Int
  /// Whole tiles, except for the last batch.
  let batchElements: Int
  /// Floats of scratch memory for one tile: values, values read back, bytes of the input.
  let scratchFloats: Int
  /// Where the scratch memory of rounding with error feedback begins.
  let feedbackStart: Int
  private let target: ElementType

  /// - Parameters:
  ///   - tensor: the tensor.
  ///   - elements: about the elements of a tile.
  ///   - batchBytes: about the bytes of a batch.
  ///   - feedback: how rows are rounded, if with error feedback: in tiles of its own.
  init(
    _ tensor: ConversionPlan.Tensor, elements: Int, batchBytes: Int,
    _ feedback: FeedbackQuantizer? = nil
  ) {
    let source = tensor.source.type
    target = tensor.type
    // Quantization needs whole rows.
    let unit =
      target.isBlockQuantized ? max(1, tensor.shape.last ?? 1) : tensor.source.blockElements
    let units = feedback == nil ? max(1, elements / unit) : FeedbackQuantizer.tileRows
    tileElements = units * unit
    let bytes = Double(tileElements) / 8 * max(source.bitsPerElement, target.bitsPerElement)
    batchElements = max(1, Int(Double(batchBytes) / bytes)) * tileElements
    // Pieces of other types take less.
    let sourceBytes = tileElements / source.elementsPerBlock * source.bytesPerBlock
    feedbackStart = 2 * tileElements + (sourceBytes + 3) / 4
    scratchFloats = feedbackStart + (feedback?.scratchFloats ?? 0)
  }

  func targetBytes(_ elements: Int) -> Int {
    elements / target.elementsPerBlock * target.bytesPerBlock
  }
}

/// Reads, dequantizes, checks, quantizes and measures tiles of one tensor.
struct TileTask: Sendable {
  private let tensor: ConversionPlan.Tensor
  private let kernels: KernelSet
  /// Nil for copies.
  private let quantizer: BlockQuantizer?
  private let importance: [Float]?
  private let feedback: FeedbackQuantizer?
  /// Its blocks, if it was rounded before.
  private let finished: FinishedBlocks?
  private let measuresErrors: Bool
  /// Bits of the least magnitude that is not finite or becomes infinite.
  private let limit: UInt32
  /// What the bytes of the input look like.
  let contentEnds: ContentEnds

  /// - Throws: `ModelFileError` if the importance matrix is of another model.
  init(
    _ tensor: ConversionPlan.Tensor, _ options: ConversionOptions,
    _ feedback: FeedbackQuantizer? = nil, kernels: KernelSet
  ) throws(ModelFileError) {
    self.tensor = tensor
    self.feedback = feedback
    finished = options.finished?.blocks(of: tensor)
    self.kernels = kernels
    contentEnds = ContentEnds(tensor.source)
    quantizer =
      tensor.isCopied ? nil : BlockQuantizer(type: tensor.type, quality: options.quality)
    measuresErrors = options.measuresErrors && !tensor.isCopied
    importance =
      tensor.type.isBlockQuantized
      ? try options.importance?(tensor.source.name, tensor.shape.last ?? 1) : nil
    limit =
      switch tensor.type {
      case _ where tensor.isCopied: Float.infinity.bitPattern
      // What rounds to 2¹⁶ or 2¹²⁸.
      case .f16: Float(65_520).bitPattern
      case .bf16: 0x7F7F_8000
      // Scales and minimums are float16; no trained weight comes near.
      case let type where type.isBlockQuantized: Float(65_520).bitPattern
      default: Float.infinity.bitPattern
      }
  }

  /// Converts one tile.
  ///
  /// - Parameters:
  ///   - range: elements, whole blocks of both types.
  ///   - layout: how the tensor is cut.
  ///   - scratch: `layout.scratchFloats` floats.
  ///   - target: space for the new bytes.
  /// - Returns: what was counted.
  /// - Throws: `ModelFileError` if the input cannot be read.
  func convert(
    _ range: Range<Int>, _ layout: Tiles, _ scratch: UnsafeMutablePointer<Float>,
    into target: UnsafeMutableRawBufferPointer
  ) throws(ModelFileError) -> TileSums {
    guard let blocks = target.baseAddress else { return TileSums() }
    let values = scratch
    let decoded = scratch + layout.tileElements
    let stored =
      quantizer == nil ? blocks : UnsafeMutableRawPointer(scratch + 2 * layout.tileElements)
    try tensor.source.read(range, into: stored)
    try tensor.source.decode(range, of: stored, into: values, kernels)
    var sums = TileSums()
    sums.scan(values, range.count, limit: limit)
    contentEnds.look(at: stored, range)
    guard let quantizer else { return sums }
    if let finished {
      let first = layout.targetBytes(range.lowerBound)
      try finished.read(first..<first + layout.targetBytes(range.count), into: blocks)
    } else if let feedback {
      let loss = feedback.quantize(
        values, first: range.lowerBound / feedback.columns, rows: range.count / feedback.columns,
        scratch: scratch + layout.feedbackStart, into: blocks, measuresEnergy: measuresErrors)
      (sums.productError, sums.productSquare) = (loss.error, loss.energy)
    } else {
      round(values, range.count, quantizer, into: target)
    }
    guard measuresErrors else { return sums }
    kernels.decodeElements(tensor.type, blocks, count: range.count, into: decoded)
    if sums.firstNotFinite < 0 { sums.add(values, decoded, range.count) }
    return sums
  }

  private func round(
    _ values: UnsafePointer<Float>, _ count: Int, _ quantizer: BlockQuantizer,
    into target: UnsafeMutableRawBufferPointer
  ) {
    let values = UnsafeBufferPointer(start: values, count: count)
    let columns = tensor.type.isBlockQuantized ? tensor.shape.last ?? 1 : count
    guard let importance else {
      return quantizer.quantize(values, columns: columns, importance: nil, into: target)
    }
    importance.withUnsafeBufferPointer {
      quantizer.quantize(values, columns: columns, importance: $0, into: target)
    }
  }
}
