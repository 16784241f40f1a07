import BlockFormats
import KernelInterface
import Kernels
import LinearAlgebra
import Machine
import Synchronization

/// What enters some linear layers, all the same rows: the calibration data for which their weights
/// are rounded.
package final class LinearInputs: Sendable {
  /// Rows that moments are made of for each order that is asked for.
  private struct Rows: Sendable {
    let values: [Float]
    let damping: Double
    let pool: ThreadPool
  }

  package let columns: Int
  /// Nil where moments were added up elsewhere.
  private let rows: Rows?
  private let prepared: Mutex<[RoundingOrder: FeedbackMoments]>
  /// What weights become before they are rounded; nil where they stay.
  private let targets: RoundingTargets?

  /// Prepares rounding for inputs that were added up.
  ///
  /// - Parameters:
  ///   - moments: of inputs that are finite.
  ///   - order: in which their columns are.
  ///   - targets: what weights become before.
  init(_ moments: FeedbackMoments, _ order: RoundingOrder, targets: RoundingTargets?) {
    columns = moments.columns
    rows = nil
    prepared = Mutex([order: moments])
    self.targets = targets
  }

  /// Takes rows; nil where there is no OpenBLAS, and where rows are none, not finite or too large
  /// for squares of them to be added up.
  ///
  /// - Parameters:
  ///   - rows: `[rows, columns]`.
  ///   - columns: of the layers.
  ///   - damping: what is added to the diagonal of their second moments, relative to its mean: how
  ///     much other inputs may differ from these.
  ///   - pool: threads to work on.
  package init?(rows: [Float], columns: Int, damping: Double, on pool: ThreadPool) {
    guard OpenBLAS.shared != nil, columns > 0, !rows.isEmpty, rows.count % columns == 0,
      rows.allSatisfy({ abs($0) < 1e15 })
    else { return nil }
    self.columns = columns
    self.rows = Rows(values: rows, damping: damping, pool: pool)
    prepared = Mutex([:])
    targets = nil
  }

  /// Prepares rounding to a type.
  ///
  /// - Parameters:
  ///   - type: what rows become.
  ///   - quality: how long to look for codes and scales.
  ///   - kernels: of a CPU that this one is.
  /// - Returns: nil for types without blocks, and rows that do not consist of whole ones.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func quantizer(
    to type: ElementType, quality: QuantizationQuality = .fast,
    kernels: KernelSet = KernelSelection.current
  ) throws(ComputeError) -> FeedbackQuantizer? {
    guard columns % type.elementsPerBlock == 0, let order = RoundingOrder(for: type),
      let moments = try moments(for: order)
    else { return nil }
    return FeedbackQuantizer(type: type, moments, targets, quality: quality, kernels: kernels)
  }

  private func moments(for order: RoundingOrder) throws(ComputeError) -> FeedbackMoments? {
    let known = prepared.withLock { $0[order] ?? $0[.any] }
    guard known == nil, let rows, let library = OpenBLAS.shared else { return known }
    let sums = try InputMoments(
      columns: columns, order: order, like: rows.values, library, on: rows.pool)
    try sums.add(rows.values)
    guard let made = try sums.moments(damping: rows.damping) else { return nil }
    prepared.withLock { $0[order] = made }
    return made
  }
}
