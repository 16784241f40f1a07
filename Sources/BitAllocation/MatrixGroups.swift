import Checkpoints
import Conversion

/// Matrices that do the same work at a similar depth: their errors are assumed to do alike.
package struct MatrixGroup: Sendable, Equatable {
  /// Such as `double.v` or `single.proj.1`, the last being the half of the stack.
  package let name: String
  /// Indices of the plan's tensors.
  package let tensors: [Int]

  /// Groups the matrices of a plan whose type is free to choose.
  ///
  /// - Parameter plan: a conversion.
  /// - Returns: at most 22 groups for the known architectures, in the plan's order.
  package static func groups(of plan: ConversionPlan) -> [MatrixGroup] {
    var layers = 0
    for tensor in plan.tensors {
      if let layer = number(of: tensor.source.name, in: "single_layers.") {
        layers = max(layers, layer + 1)
      }
    }
    var names: [String] = []
    var members: [String: [Int]] = [:]
    for (index, tensor) in plan.tensors.enumerated() where tensor.isChoosable {
      let name = name(of: tensor.source.name, singleLayers: layers)
      if members[name] == nil { names.append(name) }
      members[name, default: []].append(index)
    }
    return names.map { MatrixGroup(name: $0, tensors: members[$0] ?? []) }
  }

  private static func name(of tensor: String, singleLayers: Int) -> String {
    if tensor.hasPrefix("enc.blk.") || tensor == "token_embd.weight" {
      return "text." + textRole(of: tensor)
    }
    if tensor.hasPrefix("double_layers.") { return "double." + role(of: tensor) }
    guard let layer = number(of: tensor, in: "single_layers.") else { return "other" }
    return "single.\(role(of: tensor)).\(2 * layer < singleLayers ? 1 : 2)"
  }

  /// The work of a transformer's matrix.
  private static func role(of tensor: String) -> String {
    if tensor.contains(".mod") { return "modulation" }
    if tensor.hasSuffix(".c_proj.weight") { return "down" }
    if tensor.contains(".c_fc") { return "up" }
    if tensor.hasSuffix("v.weight") { return "value" }
    if tensor.hasSuffix("o.weight") { return "output" }
    return "query-key"
  }

  private static func textRole(of tensor: String) -> String {
    if tensor == "token_embd.weight" { return "tokens" }
    if tensor.contains(".attn_") { return "attention" }
    return tensor.contains(".ffn_down") ? "down" : "up"
  }

  private static func number(of tensor: String, in stack: String) -> Int? {
    guard tensor.hasPrefix(stack) else { return nil }
    return Int(tensor.dropFirst(stack.count).prefix { $0 != "." })
  }
}
