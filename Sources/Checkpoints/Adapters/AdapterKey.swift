/// What one tensor of an adapter is in the module that it belongs to.
enum AdapterRole: String, Sendable {
  // LoRA, DoRA
  case down, up, mid, alpha
  case magnitude = "DoRA's magnitudes"
  case upBias
  // LoHa
  case hadaW1A, hadaW1B, hadaW2A, hadaW2B, hadaT1, hadaT2
  // LoKr
  case lokrW1, lokrW1A, lokrW1B, lokrW2, lokrW2A, lokrW2B, lokrT2
  // IA3: LyCORIS, PEFT
  case factors, onInput, peftFactors
  // Differences
  case difference, biasDifference
  // Kinds that are not applied
  case glora = "GLoRA"
  case oft = "OFT"
  case boft = "BOFT"
  case vera = "VeRA"
  case reshape = "an adapter that reshapes weights"

  /// Whether the kind is not applied.
  var isRefused: Bool {
    switch self {
    case .glora, .oft, .boft, .vera, .reshape: true
    default: false
    }
  }
}

/// A tensor's name in an adapter: a module's name and what the tensor is in it.
struct AdapterKey {
  /// The module's name as the file has it.
  let base: String
  let role: AdapterRole

  /// Components that say what a tensor is, with what may follow them.
  private static let marks: [String: AdapterRole] = [
    "lora_down": .down, "lora_A": .down, "lora_up": .up, "lora_B": .up, "lora_mid": .mid,
    "alpha": .alpha, "dora_scale": .magnitude, "lora_magnitude_vector": .magnitude,
    "hada_w1_a": .hadaW1A, "hada_w1_b": .hadaW1B, "hada_w2_a": .hadaW2A, "hada_w2_b": .hadaW2B,
    "hada_t1": .hadaT1, "hada_t2": .hadaT2,
    "lokr_w1": .lokrW1, "lokr_w1_a": .lokrW1A, "lokr_w1_b": .lokrW1B,
    "lokr_w2": .lokrW2, "lokr_w2_a": .lokrW2A, "lokr_w2_b": .lokrW2B, "lokr_t2": .lokrT2,
    "ia3_l": .peftFactors, "on_input": .onInput,
    "diff": .difference, "w_norm": .difference,
    "diff_b": .biasDifference, "b_norm": .biasDifference,
    "oft_blocks": .oft, "oft_diag": .oft, "oft_r": .oft, "oft_R": .oft, "boft_R": .boft,
    "boft_s": .boft, "vera_lambda_b": .vera, "vera_lambda_d": .vera, "reshape_weight": .reshape,
  ]
  /// The same, which only count before `weight`.
  private static let weightMarks: [String: AdapterRole] = [
    "a1": .glora, "a2": .glora, "b1": .glora, "b2": .glora,
  ]
  /// Roles of tensors behind which PEFT writes the adapter's name.
  private static let peftMarks: Set<String> = [
    "lora_A", "lora_B", "lora_magnitude_vector", "ia3_l", "hada_w1_a", "hada_w1_b", "hada_w2_a",
    "hada_w2_b", "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b",
  ]

  private init(_ base: ArraySlice<Substring>, _ role: AdapterRole) {
    self.base = base.joined(separator: ".")
    self.role = role
  }

  /// Takes a name apart; nil for one that is not of an adapter.
  ///
  /// IA3's `weight` in LyCORIS' files looks like that of any layer: only `on_input` beside it
  /// tells.
  init?(_ name: String) {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    let last = parts.count - 1
    guard last >= 1 else { return nil }
    // `….lora.up.weight`, `….lora_linear_layer.up.weight`, `….processor.qkv_lora1.up.weight`.
    if parts[last] == "weight", last >= 2, ["up", "down"].contains(parts[last - 1]) {
      let role = parts[last - 1] == "up" ? AdapterRole.up : .down
      let isOwn = ["lora", "lora_linear_layer"].contains(parts[last - 2])
      guard isOwn || parts[last - 2].contains("_lora") else { return nil }
      self.init(parts[..<(isOwn ? last - 2 : last - 1)], role)
      return
    }
    for place in stride(from: last, through: max(1, last - 2), by: -1) {
      let (mark, rest) = (String(parts[place]), parts[(place + 1)...])
      let role: AdapterRole
      if let found = Self.marks[mark] {
        role = found
      } else if let found = Self.weightMarks[mark], rest.elementsEqual(["weight"]) {
        role = found
      } else {
        continue
      }
      guard let end = Self.role(role, mark, followedBy: rest) else { return nil }
      self.init(parts[..<place], end)
      return
    }
    return nil
  }

  /// The role of a tensor with a mark, given what follows the mark; nil for what is unknown.
  private static func role(
    _ role: AdapterRole, _ mark: String, followedBy rest: ArraySlice<Substring>
  ) -> AdapterRole? {
    if mark == "lora_B", rest.last == "bias" { return rest.count <= 2 ? .upBias : nil }
    switch rest.count {
    case 0: return role
    case 1: return rest.last == "weight" || peftMarks.contains(mark) ? role : nil
    default: return peftMarks.contains(mark) && rest.last == "weight" ? role : nil
    }
  }
}
