import BlockFormats
import Checkpoints
import Foundation
import Kernels
import Machine
import ModelFiles
import Synchronization

/// How far the weights of one tensor are from those of another.
package struct WeightDifference: Sendable, Equatable {
  /// Our name of the tensor.
  package let name: String
  package let type: ElementType
  package let elementCount: Int
  /// Root of the mean squared difference, relative to the reference's root mean square.
  package let relativeError: Double
  /// Cosine of the angle between both, all elements as one vector.
  package let cosine: Double

  /// A tensor beside itself.
  package init(same tensor: PartTensor) {
    self.init(
      name: Self.name(of: tensor), type: tensor.type, elementCount: tensor.elementCount,
      relativeError: 0, cosine: 1)
  }

  fileprivate static func name(of tensor: PartTensor) -> String {
    tensor.part.ggufPrefix + tensor.name
  }

  package init(
    name: String, type: ElementType, elementCount: Int, relativeError: Double, cosine: Double
  ) {
    self.name = name
    self.type = type
    self.elementCount = elementCount
    self.relativeError = relativeError
    self.cosine = cosine
  }
}

/// Compares the weights of two models of one architecture, in tiles: in little memory.
package struct WeightComparison {
  /// Elements of one task.
  private static let tileElements = 64 << 10

  private let pool: ThreadPool

  /// - Parameter pool: threads to work on; cancelling it ends the work.
  package init(on pool: ThreadPool) { self.pool = pool }

  /// Compares all tensors.
  ///
  /// - Parameters:
  ///   - model: the weights in question.
  ///   - reference: what they ought to be.
  ///   - onBytes: told of bytes that are done and of all.
  /// - Returns: the differences in the model's order.
  /// - Throws: `ModelFileError` for a tensor that only one model has or whose shapes differ,
  ///   `ComputeError` if cancelled.
  package func differences(
    _ model: ConversionSource, _ reference: ConversionSource,
    onBytes: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> [WeightDifference] {
    let pairs = try Self.pairs(model, reference)
    let total = pairs.reduce(0) { $0 + $1.tensor.byteCount }
    var done = 0
    var result: [WeightDifference] = []
    for (tensor, other) in pairs {
      result.append(try difference(tensor, other))
      done += tensor.byteCount
      onBytes(done, total)
    }
    return result
  }

  /// The tensors of two models that belong together, in the order of the first. Nothing is read.
  ///
  /// - Throws: `ModelFileError` for a tensor that only one model has or whose shapes differ.
  package static func pairs(
    _ model: ConversionSource, _ reference: ConversionSource
  ) throws -> [(tensor: PartTensor, reference: PartTensor)] {
    var known = Dictionary(
      reference.tensors.map { (Key($0), $0) }, uniquingKeysWith: { first, _ in first })
    let pairs = try model.tensors.map { tensor in
      guard let other = known.removeValue(forKey: Key(tensor)),
        other.dimensions == tensor.dimensions
      else { throw mismatch(tensor, "the reference") }
      return (tensor: tensor, reference: other)
    }
    if let missing = known.values.min(by: { $0.name < $1.name }) {
      throw mismatch(missing, model.files.first ?? "the model")
    }
    return pairs
  }

  private static func mismatch(_ tensor: PartTensor, _ other: String) -> ModelFileError {
    ModelFileError(
      path: tensor.path, kind: .contradicted,
      fault: "tensor '\(tensor.storedName)' of \(tensor.shape) is not in \(other), or of another "
        + "shape there: only models of one architecture can be compared")
  }

  private struct Key: Hashable {
    let part: Slot
    let name: String

    init(_ tensor: PartTensor) { (part, name) = (tensor.part, tensor.name) }
  }

  /// Sums over elements: of squares of either, of products and of squared differences.
  private struct Sums {
    var model = 0.0, reference = 0.0, product = 0.0, difference = 0.0
  }

  private func difference(
    _ tensor: PartTensor, _ reference: PartTensor
  ) throws -> WeightDifference {
    // Whole blocks of both: blocks of all types are powers of two.
    let unit = max(tensor.blockElements, reference.blockElements)
    let tile = max(unit, Self.tileElements / unit * unit)
    let count = tensor.elementCount
    let results = Mutex([Sums](repeating: Sums(), count: (count + tile - 1) / tile))
    let fault = Mutex<ModelFileError?>(nil)
    let kernels = KernelSelection.current
    // Both tensors' bytes take at most four per element.
    try pool.run((count + tile - 1) / tile, scratchCount: 4 * tile) { index, scratch in
      let range = index * tile..<min(count, (index + 1) * tile)
      do throws(ModelFileError) {
        for (side, tensor) in [tensor, reference].enumerated() {
          let bytes = UnsafeMutableRawPointer(scratch + 2 * tile)
          try tensor.read(range, into: bytes)
          try tensor.decode(range, of: bytes, into: scratch + side * tile, kernels)
        }
        let sums = Self.sums(scratch, scratch + tile, range.count)
        results.withLock { $0[index] = sums }
      } catch {
        fault.withLock { $0 = error }
      }
    }
    if let fault = fault.withLock({ $0 }) { throw fault }
    // In the order of tiles, so that threads do not matter.
    let sums = results.withLock { $0 }.reduce(into: Sums()) {
      $0.model += $1.model
      $0.reference += $1.reference
      $0.product += $1.product
      $0.difference += $1.difference
    }
    return WeightDifference(
      name: WeightDifference.name(of: tensor), type: tensor.type, elementCount: count,
      relativeError: Self.ratio(sums.difference, sums.reference).squareRoot(),
      cosine: sums.difference == 0
        ? 1 : Self.ratio(sums.product, (sums.model * sums.reference).squareRoot()))
  }

  private static func ratio(_ part: Double, _ whole: Double) -> Double {
    whole > 0 ? part / whole : (part > 0 ? .infinity : 0)
  }

  private static func sums(
    _ model: UnsafePointer<Float>, _ reference: UnsafePointer<Float>, _ count: Int
  ) -> Sums {
    var sums = Sums()
    for index in 0..<count {
      let (a, b) = (Double(model[index]), Double(reference[index]))
      sums.model += a * a
      sums.reference += b * b
      sums.product += a * b
      sums.difference += (a - b) * (a - b)
    }
    return sums
  }
}

extension PartTensor {
  /// The shape without dimensions of one, in which layouts differ.
  fileprivate var dimensions: [Int] { shape.filter { $0 != 1 } }
}
