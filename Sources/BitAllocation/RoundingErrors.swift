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
package final class RoundingErrors: Sendable {
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
  private let inputs: ModulationInputs?
  private let quality: QuantizationQuality
  private let pool: ThreadPool
  /// Rounding with error feedback, for types whose columns have different orders.
  private let quantizers = Mutex<[(inputs: LinearInputs, quantizer: FeedbackQuantizer)]>([])

  /// - Parameters:
  ///   - importance: how much columns matter.
  ///   - inputs: what enters the modulation, which is rounded for it.
  ///   - quality: how long to search for scales.
  ///   - pool: threads to work on; cancelling it ends the work.
  package init(
    importance: ImportanceMatrix?, inputs: ModulationInputs?, quality: QuantizationQuality,
    on pool: ThreadPool
  ) {
    self.importance = importance
    self.inputs = inputs
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
    let (rows, columns) = (tensor.shape[0], tensor.shape[1])
    let count = min(rows, Self.sampledRows)
    let values = try sample(tensor.source, rows: rows, columns: columns, count: count)
    if let inputs = inputs?.inputs(of: tensor.source.name, columns: columns) {
      return try productErrors(values, rows: count, of: tensor, as: types, inputs)
    }
    let weights = try importance?.importance(of: tensor.source.name, columns: columns)
    let sums = Mutex([Double](repeating: 0, count: types.count))
    let stored = tensor.source.copiedType
    try pool.run(types.count, scratchCount: 0) { index, _ in
      // Blocks of the same type are copied.
      guard types[index] != stored else { return }
      let sum = error(of: values, columns: columns, weights, as: types[index])
      sums.withLock { $0[index] = sum }
    }
    var square = 0.0
    for index in values.indices {
      square +=
        Double(values[index]) * Double(values[index]) * Double(weights?[index % columns] ?? 1)
    }
    return sums.withLock { $0 }.map { square > 0 ? $0 / square : $0 }
  }

  /// The errors of types on rows that are rounded with feedback.
  private func productErrors(
    _ values: [Float], rows: Int, of tensor: ConversionPlan.Tensor, as types: [ElementType],
    _ inputs: LinearInputs
  ) throws -> [Double] {
    let stored = tensor.source.copiedType
    var errors: [Double] = []
    for type in types {
      guard type != stored else {
        errors.append(0)
        continue
      }
      guard let quantizer = try quantizer(to: type, inputs) else {
        // Plain numbers, whose errors are small whatever enters.
        let square = values.reduce(0) { $0 + Double($1) * Double($1) }
        let sum = error(of: values, columns: inputs.columns, nil, as: type)
        errors.append(square > 0 ? sum / square : sum)
        continue
      }
      var blocks = [UInt8](
        repeating: 0, count: type.byteCount(elements: values.count) ?? 0)
      let loss = Mutex(FeedbackQuantizer.Loss())
      try blocks.withUnsafeMutableBytes { blocks in
        nonisolated(unsafe) let target = blocks.baseAddress
        try values.withUnsafeBufferPointer { values in
          nonisolated(unsafe) let source = values.baseAddress
          try pool.run(1, scratchCount: quantizer.scratchFloats) { _, scratch in
            guard let source, let target else { return }
            let found = quantizer.quantize(
              source, rows: rows, scratch: scratch, into: target, measuresEnergy: true)
            loss.withLock { $0 = found }
          }
        }
      }
      let (error, energy) = loss.withLock { ($0.error, $0.energy) }
      errors.append(energy > 0 ? error / energy : error)
    }
    return errors
  }

  /// Rounding to a type, with the moments of one before where the order is the same.
  private func quantizer(
    to type: ElementType, _ inputs: LinearInputs
  ) throws -> FeedbackQuantizer? {
    let known = quantizers.withLock { $0.filter { $0.inputs === inputs } }
    if let shared = known.lazy.compactMap({ $0.quantizer.sharing(type) }).first { return shared }
    guard let made = try inputs.quantizer(to: type) else { return nil }
    quantizers.withLock { $0.append((inputs, made)) }
    return made
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
    var sum = 0.0
    for index in values.indices {
      let difference = Double(values[index]) - Double(decoded[index])
      sum += difference * difference * Double(weights?[index % columns] ?? 1)
    }
    return sum
  }
}
