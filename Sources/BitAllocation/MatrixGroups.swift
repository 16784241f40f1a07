import Checkpoints
import Conversion

/// Matrices that do the same work at a similar depth: their errors are assumed to do alike.
package struct MatrixGroup: Sendable, Equatable {
  /// Such as `double.value` or `single.output.1`, the last being the half of the stack.
  package let name: String
  /// Indices of the plan's tensors.
  package let tensors: [Int]

  /// Groups the matrices of a plan whose type is free to choose.
  ///
  /// - Parameter plan: a conversion.
  /// - Returns: the groups, in the plan's order.
  package static func groups(of plan: ConversionPlan) -> [MatrixGroup] {
    var counts: [String: Int] = [:]
    for case let (stack, number)? in plan.tensors.map(\.source.match.layer) {
      counts[stack] = max(counts[stack] ?? 0, number + 1)
    }
    var names: [String] = []
    var members: [String: [Int]] = [:]
    for (index, tensor) in plan.tensors.enumerated() where tensor.isChoosable {
      let name = name(of: tensor.source.match, counts)
      if members[name] == nil { names.append(name) }
      members[name, default: []].append(index)
    }
    return names.map { MatrixGroup(name: $0, tensors: members[$0] ?? []) }
  }

  /// The work that a matrix does, and in which half of its stack if that matters.
  private static func name(of match: RoleMatch, _ counts: [String: Int]) -> String {
    guard match.rule.splitsStack, let (stack, number) = match.layer else {
      return match.rule.group
    }
    return "\(match.rule.group).\(2 * number < counts[stack] ?? 0 ? 1 : 2)"
  }
}
