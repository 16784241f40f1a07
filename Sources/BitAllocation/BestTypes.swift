import BlockFormats
import Compute
import Conversion

/// The type of each matrix for which a model of a given size predicts velocities best.
///
/// The relative squared error that quantizing a matrix brings to the output is taken to be
/// proportional to that of the matrix's products, with a factor for each group that was measured
/// once, and errors of different matrices to add up.
package struct BestTypes: Sendable {
  /// The matrices that are free to choose, as indices of the plan's tensors.
  private let matrices: [Int]
  /// What each may become.
  private let choices: [[Choice]]
  /// Bytes of the file that do not depend on the choice: header, alignment, other tensors.
  private let fixedBytes: Int
  private let names: [String]

  /// Finds out what each type would cost.
  ///
  /// - Parameters:
  ///   - plan: the conversion; its header and the tensors that are not free to choose stay.
  ///   - measurement: which groups there are.
  ///   - sensitivities: what `SensitivityMeasurement.measure()` returned as errors.
  ///   - rounding: the quantization error of each type on a matrix.
  ///   - onMatrix: told of matrices that are done and of all.
  /// - Throws: `ModelFileError`, `ComputeError`.
  package init(
    _ plan: ConversionPlan, _ measurement: SensitivityMeasurement, _ sensitivities: [Double],
    _ rounding: RoundingErrors, onMatrix: (_ done: Int, _ total: Int) -> Void
  ) throws {
    matrices = measurement.groups.flatMap(\.tensors)
    var choices: [[Choice]] = []
    for (group, sensitivity) in zip(measurement.groups, sensitivities) {
      var costs: [[Choice]] = []
      var probed = 0.0
      for index in group.tensors {
        let tensor = plan.tensors[index]
        let types = RoundingErrors.types(for: tensor)
        let errors = try rounding.errors(of: tensor, as: types)
        costs.append(
          zip(types, errors).map {
            Choice(type: $0, bytes: $0.byteCount(elements: tensor.elementCount) ?? 0, error: $1)
          })
        let probe = measurement.probe(of: tensor)
        probed += costs.last?.first { $0.type == probe }?.error ?? 0
        onMatrix(choices.count + costs.count, matrices.count)
      }
      // What has no effect at all still prefers less error to more.
      let factor = probed > 0 ? max(sensitivity, 1e-12) / probed : 1
      choices += costs.map { $0.map { $0.scaled(by: factor) } }
    }
    self.choices = choices
    names = matrices.map { plan.tensors[$0].source.name }
    fixedBytes = Self.fixedBytes(of: plan)
  }

  /// The types for a size.
  ///
  /// - Parameter byteCount: bytes that the file may have.
  /// - Returns: types by our names, and how good the choice is; nil if nothing is small enough.
  package func types(
    within byteCount: Int
  ) -> (types: [String: ElementType], allocation: Allocation)? {
    guard let allocation = Allocation(choices, budget: byteCount - fixedBytes) else { return nil }
    let types = zip(choices, allocation.choices).map { $0[$1].type }
    return (Dictionary(uniqueKeysWithValues: zip(names, types)), allocation)
  }

  /// Bytes of the smallest file that a plan could lead to. Nothing is measured for that.
  package static func smallestBytes(_ plan: ConversionPlan) -> Int {
    plan.tensors.filter(\.isChoosable).reduce(fixedBytes(of: plan)) { sum, tensor in
      let sizes = RoundingErrors.types(for: tensor).compactMap {
        $0.byteCount(elements: tensor.elementCount)
      }
      return sum + (sizes.min() ?? tensor.byteCount)
    }
  }

  private static func fixedBytes(of plan: ConversionPlan) -> Int {
    plan.tensors.filter(\.isChoosable).reduce(plan.byteCount) { $0 - $1.byteCount }
  }
}

extension Choice {
  /// The same with an error in other units.
  fileprivate func scaled(by factor: Double) -> Choice {
    Choice(type: type, bytes: bytes, error: error * factor)
  }
}
