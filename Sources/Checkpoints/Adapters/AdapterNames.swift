/// The names by which adapters know the modules of one part: of every naming of its network, with
/// dots, and with underscores in their place.
///
/// Underscored names are made from the known ones and looked up: taking them apart would be
/// guessing.
package struct AdapterNames: Sendable {
  /// The rows of a tensor of ours that a module is.
  package struct Target: Sendable, Equatable {
    /// Our name of the weight.
    let name: String
    /// Our name of its bias; nil if it has none.
    let bias: String?
    let rowOrder: NameRule.RowOrder

    package init(name: String, bias: String?, rowOrder: NameRule.RowOrder) {
      self.name = name
      self.bias = bias
      self.rowOrder = rowOrder
    }
  }

  private let dotted: [String: Target]
  private let flat: [String: Target]
  /// What stands before names with dots, and before those without.
  private let prefixes: (dotted: [String], flat: [String])

  /// The names of an opened part.
  ///
  /// - Parameters:
  ///   - weights: of the part.
  ///   - isDenoiser: whether it is what the family's adapters are mostly for.
  init(_ weights: StoredWeights, isDenoiser: Bool) {
    // What is not run has no effect, which is told of names that match nothing.
    let tensors = weights.storedTensors.filter { name in
      !weights.network.idleParts.contains { name.hasPrefix($0) }
    }
    self.init(weights.slot, weights.network, tensors: tensors, isDenoiser: isDenoiser)
  }

  /// The names that a part may have.
  ///
  /// - Parameters:
  ///   - slot: the part's place.
  ///   - network: that takes it.
  ///   - layers: most layers that are looked for.
  ///   - isDenoiser: whether it is what the family's adapters are mostly for.
  init(_ slot: Slot, _ network: NetworkDescription, layers: Int, isDenoiser: Bool) {
    let patterns = network.tables[0].rules.map(\.canonical)
    let names = patterns.flatMap { pattern -> [String] in
      let name = pattern.joined(separator: ".")
      guard !name.contains("{j}") else { return [] }
      guard name.contains("{i}") else { return [name] }
      return (0..<layers).map { name.replacing("{i}", with: "\($0)") }
    }
    self.init(slot, network, tensors: names, isDenoiser: isDenoiser)
  }

  private init(
    _ slot: Slot, _ network: NetworkDescription, tensors: [String], isDenoiser: Bool
  ) {
    prefixes = Self.prefixes(of: slot, isDenoiser: isDenoiser)
    var dotted: [String: Target] = [:]
    let known = Set(tensors)
    for name in tensors where !name.hasSuffix(".bias") {
      let stem = name.hasSuffix(".weight") ? String(name.dropLast(".weight".count)) : nil
      let bias = stem.map { $0 + ".bias" }.flatMap { known.contains($0) ? $0 : nil }
      for table in network.tables + network.adapterTables {
        for (foreign, rowOrder) in table.foreign(of: name, levels: 0) {
          let target = Target(name: name, bias: bias, rowOrder: rowOrder)
          for module in Self.modules(of: foreign) where dotted[module] == nil {
            dotted[module] = target
          }
        }
      }
    }
    self.dotted = dotted
    // Sorted: should two names look alike without dots, it is always the same one that counts.
    flat = dotted.sorted { $0.key > $1.key }.reduce(into: [:]) { flat, entry in
      flat[entry.key.replacing(".", with: "_")] = entry.value
    }
  }

  /// What adapters call the module of a tensor.
  private static func modules(of tensor: String) -> [String] {
    for end in [".weight", ".scale"] where tensor.hasSuffix(end) {
      let module = String(tensor.dropLast(end.count))
      return end == ".weight" ? [module] : [module, tensor]
    }
    return [tensor]
  }

  private static func prefixes(
    of slot: Slot, isDenoiser: Bool
  ) -> (dotted: [String], flat: [String]) {
    var dotted = [slot.key + ".", slot.singleFilePrefix]
    var flat = slot.adapterPrefixes
    if isDenoiser {
      dotted += [
        "", "transformer.", "diffusion_model.", "model.diffusion_model.", "model.", "unet.",
      ]
      flat += ["lora_unet_", "lora_transformer_", "lycoris_"]
    }
    dotted = dotted.filter { !$0.isEmpty || isDenoiser }
    return (dotted + dotted.map { "base_model.model." + $0 }, flat)
  }

  /// The module of a name in an adapter; nil if the part has none of that name.
  func target(of name: String) -> Target? {
    func found(_ prefixes: [String], _ names: [String: Target]) -> Target? {
      for prefix in prefixes where name.hasPrefix(prefix) {
        if let target = names[String(name.dropFirst(prefix.count))] { return target }
      }
      return nil
    }
    return found(prefixes.dotted, dotted) ?? found(prefixes.flat, flat)
  }
}
