/// What is known of the tensors whose names fit a pattern.
package struct RoleRule: Sendable {
  package let role: TensorRole
  /// The work that the matrix does, such as `double.value`: errors of matrices of one group are
  /// assumed to do alike.
  package let group: String
  /// Whether the first and second half of the stack of layers are groups of their own.
  package let splitsStack: Bool
  /// Which shape readers of the formats expect.
  package let shape: ShapeRule
  /// What a synthesized tensor holds.
  package let content: SyntheticContent
  private let pattern: [Substring]
  /// The components in front of `{i}`: the stack of layers that the tensor lies in; nil if in none.
  private let stack: String?

  /// - Parameters:
  ///   - pattern: our name with `{i}` and `{j}` in place of numbers; the first component may be
  ///     `**`, which stands for any beginning or none.
  ///   - role: what the tensor is for.
  ///   - group: the work that the matrix does.
  ///   - splitsStack: whether each half of the stack is a group of its own.
  ///   - shape: which shape readers expect.
  ///   - content: what a synthesized tensor holds.
  package init(
    _ pattern: String, _ role: TensorRole, group: String = "other", splitsStack: Bool = false,
    shape: ShapeRule = .asRequested, content: SyntheticContent = .weight()
  ) {
    let components = pattern.split(separator: ".")
    self.pattern = components
    stack = components.firstIndex(of: "{i}").map { components[..<$0].joined(separator: ".") }
    self.role = role
    self.group = group
    self.splitsStack = splitsStack
    self.shape = shape
    self.content = content
  }

  /// What the rule says about a name; nil if it does not fit.
  fileprivate func match(_ name: [Substring]) -> RoleMatch? {
    var (pattern, name) = (pattern[...], name[...])
    if pattern.first == "**" {
      pattern = pattern.dropFirst()
      name = name.suffix(pattern.count)
    }
    guard pattern.count == name.count else { return nil }
    var layer: Int?
    for (expected, found) in zip(pattern, name) where expected != found {
      guard expected.hasPrefix("{"), let number = Int(found) else { return nil }
      if expected == "{i}" { layer = number }
    }
    return RoleMatch(rule: self, layer: layer.flatMap { number in stack.map { ($0, number) } })
  }
}

/// The rule for one tensor, and where the tensor lies.
package struct RoleMatch: Sendable {
  package let rule: RoleRule
  /// The stack of layers and the number in it; nil for tensors outside of all stacks.
  package let layer: (stack: String, number: Int)?

  /// What the tensor is for, given the shape under which it is written.
  package func role(shape: [Int]) -> TensorRole {
    guard shape.count > 1 else { return .vector }
    return rule.role.isQuantized && shape.count != 2 ? .sensitive : rule.role
  }
}

extension [RoleRule] {
  /// Says nothing of a tensor.
  private static let other = RoleRule("**", .sensitive)

  /// What the first rule that fits says about one of our names.
  package func match(_ name: String) -> RoleMatch {
    let components = name.split(separator: ".")
    return lazy.compactMap { $0.match(components) }.first
      ?? RoleMatch(rule: Self.other, layer: nil)
  }
}

/// The shape that readers of the formats expect of a tensor, where the network's own would not do.
package enum ShapeRule: Sendable {
  /// As the network asks for it.
  case asRequested
  /// `[1, rows, columns]` for a table of rows.
  case leadingOne
  /// A matrix in diffusers, a 1×1 convolution elsewhere.
  case pointwise

  /// The shape for a file.
  ///
  /// - Parameters:
  ///   - shape: the shape in which the network asks for it.
  ///   - isFolder: whether it is for a diffusers folder.
  /// - Returns: the shape to write.
  package func shape(of shape: [Int], inFolder isFolder: Bool) -> [Int] {
    switch self {
    case .asRequested: return shape
    case .leadingOne:
      let inner = Array(shape.drop { $0 == 1 })
      return inner.count == 2 ? [1] + inner : shape
    case .pointwise where isFolder: return shape.count == 4 ? Array(shape.prefix(2)) : shape
    case .pointwise: return shape.count == 2 ? shape + [1, 1] : shape
    }
  }
}

/// What a synthesized tensor holds.
package enum SyntheticContent: Sendable {
  /// Random numbers by which outputs vary as much as inputs, times a gain.
  case weight(gain: Float = 1)
  /// Random numbers of a standard deviation, which are added to or looked up by something.
  case table(standardDeviation: Float)
  /// Equal numbers.
  case constant(Float)
}
