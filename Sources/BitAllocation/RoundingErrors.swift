import BlockFormats
import Checkpoints
import Conversion
import KernelInterface
import Kernels
import Machine
import ModelFiles
import Quantization
import Synchronization

/// The quantization error of each type on a matrix: the expected squared error of its products
/// relative to the products themselves, from a sample of its rows.
///
/// With an importance matrix a column counts as much as the mean square of what enters it, which
/// gives the error of the product for inputs that do not depend on each other. Errors are relative
/// because inputs of a group's matrices differ much in size (text and picture), and the next
/// normalization takes that difference away.
package struct RoundingErrors: Sendable {
  /// Types to choose from, from the smallest: every integer number of bits, and what lies between
  /// two to four. Where rows are not a multiple of 256 those with smaller blocks are left.
  package static let candidates = ElementType.allCases.filter(\.isSizeCandidate).sorted {
    ($1.elementsPerBlock, $0.bitsPerElement) < ($0.elementsPerBlock, $1.bitsPerElement)
  }

  /// Types that groups of matrices are quantized to while they are measured, from the
  /// smallest: the ladder of the smallest candidate, without the top, which costs next to nothing.
  package static let probes = probes(elementsPerBlock: 256)

  /// The same for rows that are not a multiple of 256.
  package static let narrowProbes = probes(elementsPerBlock: 32)

  private static func probes(elementsPerBlock: Int) -> [ElementType] {
    let smallest = candidates.first { $0.elementsPerBlock == elementsPerBlock }
    return smallest?.ladder.dropLast() ?? []
  }

  /// Rows that are quantized; they lie evenly in the matrix.
  private static let sampledRows = 48

  private let importance: ImportanceMatrix?
  private let inputs: @Sendable (_ name: String, _ columns: Int) -> LinearInputs?
  /// What was found out before, by our names and types.
  private let known: [String: [ElementType: Double]]
  private let quality: QuantizationQuality
  private let pool: ThreadPool

  /// - Parameters:
  ///   - importance: how much columns matter.
  ///   - inputs: what enters a matrix of a name and number of columns, where that is known: it is
  ///     rounded for it.
  ///   - known: errors that were found out before, by our names and types.
  ///   - quality: how long to search for scales.
  ///   - pool: threads to work on; cancelling it ends the work.
  package init(
    importance: ImportanceMatrix?,
    inputs: @escaping @Sendable (_ name: String, _ columns: Int) -> LinearInputs?,
    known: [String: [ElementType: Double]] = [:], quality: QuantizationQuality,
    on pool: ThreadPool
  ) {
    self.importance = importance
    self.inputs = inputs
    self.known = known
    self.quality = quality
    self.pool = pool
  }

  /// Types that a matrix can be stored as.
  package static func types(for tensor: ConversionPlan.Tensor) -> [ElementType] {
    let columns = tensor.shape.last ?? 0
    return candidates.filter { columns > 0 && columns % $0.elementsPerBlock == 0 }
  }

  /// The error of each type.
  ///
  /// - Parameters:
  ///   - tensor: a matrix.
  ///   - types: types that it can be stored as.
  /// - Returns: for each type the relative squared error, 0 for what changes nothing.
  /// - Throws: `ModelFileError` if it cannot be read or the importance matrix is another model's,
  ///   `ComputeError` if cancelled.
  package func errors(
    of tensor: ConversionPlan.Tensor, as types: [ElementType]
  ) throws -> [Double] {
    if let known = known[tensor.source.name] {
      return types.map { $0 == tensor.source.copiedType ? 0 : known[$0] ?? .infinity }
    }
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    let count = min(rows, Self.sampledRows)
    let values = try sample(tensor.source, rows: rows, columns: columns, count: count)
    let inputs = inputs(tensor.source.name, columns)
    let weights = try importance?.importance(of: tensor.source.name, columns: columns)
    let feedback = try types.map { type in
      try inputs.flatMap { try $0.quantizer(to: type, quality: quality) }
    }
    let errors = Mutex([Double](repeating: 0, count: types.count))
    let stored = tensor.source.copiedType
    let scratchCount = feedback.map { $0?.scratchFloats ?? 0 }.max() ?? 0
    try pool.run(types.count, scratchCount: scratchCount) { index, scratch in
      // Blocks of the same type are copied.
      guard types[index] != stored else { return }
      let error =
        feedback[index].map { productError(of: values, rows: count, $0, scratch) }
        ?? error(of: values, columns: columns, weights, as: types[index])
      errors.withLock { $0[index] = error }
    }
    return errors.withLock { $0 }
  }

  /// The relative squared error of products with rows that are rounded for their inputs.
  private func productError(
    of values: [Float], rows: Int, _ quantizer: FeedbackQuantizer,
    _ scratch: UnsafeMutablePointer<Float>
  ) -> Double {
    let bytes = quantizer.type.byteCount(elements: values.count) ?? 0
    var blocks = [UInt8](repeating: 0, count: bytes)
    let loss = blocks.withUnsafeMutableBytes { blocks in
      guard let target = blocks.baseAddress else { return FeedbackQuantizer.Loss() }
      return quantizer.quantize(
        values, rows: rows, scratch: scratch, into: target, measuresEnergy: true)
    }
    return loss.energy > 0 ? loss.error / loss.energy : loss.error
  }

  /// Rows of a matrix, spread evenly.
  private func sample(
    _ source: PartTensor, rows: Int, columns: Int, count: Int
  ) throws(ModelFileError) -> [Float] {
    var values: [Float] = []
    values.reserveCapacity(count * columns)
    for index in 0..<count {
      let row = index * rows / count
      values += try source.row(row, columns: columns, kernels: KernelSelection.current)
    }
    return values
  }

  private func error(
    of values: [Float], columns: Int, _ weights: [Float]?, as type: ElementType
  ) -> Double {
    guard let quantizer = BlockQuantizer(type: type, quality: quality)
    else { return .infinity }
    let bytes = values.count / type.elementsPerBlock * type.bytesPerBlock
    var blocks = [UInt8](repeating: 0, count: bytes)
    var decoded = [Float](repeating: 0, count: values.count)
    values.withUnsafeBufferPointer { values in
      blocks.withUnsafeMutableBytes { blocks in
        guard let weights else {
          return quantizer.quantize(values, columns: columns, importance: nil, into: blocks)
        }
        weights.withUnsafeBufferPointer {
          quantizer.quantize(values, columns: columns, importance: $0, into: blocks)
        }
      }
    }
    blocks.withUnsafeBytes { blocks in
      if let base = blocks.baseAddress { type.decode(base, count: values.count, into: &decoded) }
    }
    var (sum, square) = (0.0, 0.0)
    for index in values.indices {
      let value = Double(values[index])
      let difference = value - Double(decoded[index])
      let weight = Double(weights?[index % columns] ?? 1)
      sum += difference * difference * weight
      square += value * value * weight
    }
    return square > 0 ? sum / square : sum
  }
}
