import BlockFormats
import Conversion
import Tensors

/// The type of each matrix for which a model of a given size predicts velocities best.
///
/// The error that rounding a matrix brings to the output is taken to be proportional to the expected
/// error of the matrix's products, with a factor for each group that was measured once, and errors
/// of different matrices to add up.
package struct BestTypes: Sendable {
  /// By our names.
  package let types: [String: ElementType]
  package let allocation: Allocation
  /// Bytes of the smallest file that there could be, header and fixed tensors included.
  package let smallestBytes: Int

  /// The size cannot be reached.
  package struct TooSmall: Error {
    package let smallestBytes: Int
  }

  /// - Parameters:
  ///   - plan: the conversion; its header and the tensors that are not free to choose stay.
  ///   - measurement: which groups there are.
  ///   - sensitivities: what `SensitivityMeasurement.errors()` returned.
  ///   - rounding: how much each type takes from a matrix.
  ///   - byteCount: bytes that the file may have.
  ///   - onMatrix: told of matrices that are done and of all.
  /// - Throws: `TooSmall`, `ModelFileError`, `ComputeError`.
  package init(
    _ plan: ConversionPlan, _ measurement: SensitivityMeasurement, _ sensitivities: [Double],
    _ rounding: RoundingErrors, byteCount: Int, onMatrix: (_ done: Int, _ total: Int) -> Void
  ) throws {
    let total = measurement.groups.reduce(0) { $0 + $1.tensors.count }
    var indices: [Int] = []
    var choices: [[Choice]] = []
    for (group, sensitivity) in zip(measurement.groups, sensitivities) {
      var found: [(types: [ElementType], errors: [Double])] = []
      var probed = 0.0
      for index in group.tensors {
        let tensor = plan.tensors[index]
        let types = RoundingErrors.types(for: tensor)
        let errors = try rounding.errors(of: tensor, as: types)
        found.append((types, errors))
        if let probe = types.firstIndex(of: measurement.probe(of: tensor)) {
          probed += errors[probe]
        }
        onMatrix(indices.count + found.count, total)
      }
      // What has no effect at all still prefers less error to more.
      let factor = max(sensitivity, 1e-12) / max(probed, .leastNormalMagnitude)
      for (index, matrix) in zip(group.tensors, found) {
        indices.append(index)
        let elements = plan.tensors[index].elementCount
        choices.append(
          zip(matrix.types, matrix.errors).map { type, error in
            Choice(
              type: type, bytes: elements / type.elementsPerBlock * type.bytesPerBlock,
              error: factor * error)
          })
      }
    }
    // Header, alignment and what is not free to choose.
    let free = indices.reduce(0) { $0 + plan.tensors[$1].byteCount }
    let fixed = plan.layout.byteCount - free
    let least = choices.reduce(0) { $0 + ($1.map(\.bytes).min() ?? 0) }
    smallestBytes = fixed + least
    guard let allocation = Allocation(choices, budget: byteCount - fixed) else {
      throw TooSmall(smallestBytes: smallestBytes)
    }
    self.allocation = allocation
    types = Dictionary(
      uniqueKeysWithValues: indices.indices.map { position in
        (
          plan.tensors[indices[position]].source.name,
          choices[position][allocation.choices[position]].type
        )
      })
  }
}
