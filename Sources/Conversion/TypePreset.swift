import BlockFormats
import Checkpoints

/// Which tensors get another type than the file's, before any rules.
package enum TypePreset: String, CaseIterable, Sendable {
  /// As the published files.
  case published
  /// Every matrix of the type.
  case pure
  /// Published, and value and output projections and the layers next to text and picture one step
  /// better.
  case careful
  /// Published, and modulation one step smaller.
  case compact
  /// Published, and modulation in as few bits as rounding it for what enters it allows.
  case fitted

  /// What the preset does, in a few words.
  package var summary: String {
    switch self {
    case .published: "as in published files; token embeddings at least Q8_0"
    case .pure: "every matrix of the type itself"
    case .careful: "v and o projections and the outer layers one step better"
    case .compact: "modulation, a quarter to a third of the model, one step smaller"
    case .fitted: "modulation rounded for what enters it, mostly to Q2_K"
    }
  }
}

/// Decides about types tensor by tensor, in the order in which a file holds them: mixes give the
/// first few value projections another type than the rest.
struct TypePolicy {
  /// What decides about a tensor's type.
  struct Tensor {
    let part: Slot
    let role: TensorRole
    let layer: (stack: String, number: Int)?
    let convention: QuantizationConvention?

    init(_ tensor: PartTensor, role: TensorRole) {
      part = tensor.part
      self.role = role
      layer = tensor.match.layer
      convention = tensor.convention
    }
  }

  /// The stack of layers of a part.
  private struct Stack: Hashable {
    let part: Slot
    let name: String
  }

  private let mix: TypeMix
  private let preset: TypePreset
  /// Value projections and layers of each part.
  private let valueCounts: [Slot: Int]
  private let layerCounts: [Stack: Int]
  /// The stacks of each part in the order of the data.
  private let stacks: [Slot: [String]]
  private var valuesSeen: [Slot: Int] = [:]
  private var downsSeen: [Slot: Int] = [:]
  /// Whether any tensor so far got another type than published files give it.
  private(set) var presetMatters = false

  /// - Parameters:
  ///   - mix: the file's type.
  ///   - preset: what differs from it.
  ///   - tensors: all tensors.
  init(_ mix: TypeMix, _ preset: TypePreset, tensors: [Tensor]) {
    self.mix = mix
    self.preset = preset
    var values: [Slot: Int] = [:]
    var layers: [Stack: Int] = [:]
    var stacks: [Slot: [String]] = [:]
    for tensor in tensors {
      if tensor.role == .value { values[tensor.part, default: 0] += 1 }
      guard let (name, number) = tensor.layer else { continue }
      let stack = Stack(part: tensor.part, name: name)
      if layers[stack] == nil { stacks[tensor.part, default: []].append(name) }
      layers[stack] = max(layers[stack] ?? 0, number + 1)
    }
    valueCounts = values
    layerCounts = layers
    self.stacks = stacks
  }

  /// The type of the next tensor, and why it is not the file's.
  mutating func type(_ tensor: Tensor) -> (type: ElementType, reason: String?) {
    let role = tensor.role
    switch role {
    case .vector: return (.f32, mix.base == .f32 ? nil : "vector")
    case .table: return (mix.base == .f32 || mix.base == .bf16 ? .f32 : .f16, kept)
    case .sensitive: return (mix.base.isBlockQuantized ? .f16 : mix.base, kept)
    case .embedding, .value, .fusedValue, .output, .textDown, .modulation, .matrix: break
    }
    // Counted in any case, since the count decides about those that follow.
    let published = publishedType(tensor)
    guard mix.base.isBlockQuantized, preset != .pure else { return (mix.base, nil) }
    if role == .embedding { return embeddingType() }
    if preset == .compact, role == .modulation {
      return choose(published.stepSmaller, insteadOf: published)
    }
    if preset == .careful, [.value, .fusedValue, .output].contains(role) || isBorder(tensor) {
      return choose(published.stepBetter, insteadOf: published)
    }
    return (published, published == mix.base ? nil : "mix")
  }

  private mutating func choose(
    _ type: ElementType, insteadOf published: ElementType
  ) -> (ElementType, String?) {
    guard type != published else { return (published, published == mix.base ? nil : "mix") }
    presetMatters = true
    return (type, "preset \(preset.rawValue)")
  }

  private var kept: String? { mix.base.isBlockQuantized ? "kept" : nil }

  /// Rows of the table are looked up, not multiplied, so their bits cost no time.
  private mutating func embeddingType() -> (ElementType, String?) {
    guard mix.base.bitsPerElement < ElementType.q8_0.bitsPerElement else { return (mix.base, nil) }
    guard preset == .compact else { return (.q8_0, "token table") }
    presetMatters = true
    return (mix.base, nil)
  }

  /// The published rules: city96's for transformers, llama.cpp's for text encoders.
  private mutating func publishedType(_ tensor: Tensor) -> ElementType {
    switch tensor.role {
    case .value:
      let index = valuesSeen[tensor.part, default: 0]
      valuesSeen[tensor.part] = index + 1
      return valueType(tensor, index)
    case .fusedValue: return fusedValueType
    case .textDown:
      let index = downsSeen[tensor.part, default: 0]
      downsSeen[tensor.part] = index + 1
      return downType(index, of: layerCount(of: tensor) ?? 0)
    default: return mix.base
    }
  }

  /// Layers of the stack that a tensor lies in.
  private func layerCount(of tensor: Tensor) -> Int? {
    tensor.layer.flatMap { layerCounts[Stack(part: tensor.part, name: $0.stack)] }
  }

  private func valueType(_ tensor: Tensor, _ index: Int) -> ElementType {
    switch (mix.base, mix.size) {
    case (.q3_K, .medium): index < 2 ? .q5_K : .q4_K
    case (.q3_K, .large): .q5_K
    case (.q4_K, .small): index < 4 ? .q5_K : .q4_K
    case (.q4_K, .medium), (.q5_K, .medium):
      tensor.convention == .languageModel
        && !Self.usesMoreBits(index, of: valueCounts[tensor.part] ?? 0)
        ? mix.base : .q6_K
    default: mix.base
    }
  }

  /// Values share their rows with queries and keys, which need less.
  private var fusedValueType: ElementType {
    switch (mix.base, mix.size) {
    case (.q3_K, .medium), (.q3_K, .large): .q4_K
    case (.q4_K, .medium): .q5_K
    case (.q5_K, .medium): .q6_K
    default: mix.base
    }
  }

  private func downType(_ index: Int, of count: Int) -> ElementType {
    switch (mix.base, mix.size) {
    case (.q3_K, .medium): index < count / 16 ? .q5_K : .q4_K
    case (.q3_K, .large): .q5_K
    case (.q4_K, .small): index < count / 8 ? .q5_K : .q4_K
    case (.q4_K, .medium), (.q5_K, .medium):
      Self.usesMoreBits(index, of: count) ? .q6_K : mix.base
    default: mix.base
    }
  }

  /// llama.cpp's choice of layers that deserve better: the first and last eighth, and every third
  /// between them.
  private static func usesMoreBits(_ index: Int, of count: Int) -> Bool {
    index < count / 8 || index >= 7 * count / 8 || (index - count / 8) % 3 == 2
  }

  /// Whether a tensor lies in one of the first two layers of the network or of its last two.
  private func isBorder(_ tensor: Tensor) -> Bool {
    guard let (stack, number) = tensor.layer, let count = layerCount(of: tensor),
      let stacks = stacks[tensor.part]
    else { return false }
    return stacks.first == stack && number < 2 || stacks.last == stack && number >= count - 2
  }
}
