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

  /// What the preset does, in a few words.
  package var summary: String {
    switch self {
    case .published: "as in published files; the table of tokens at least Q8_0"
    case .pure: "every matrix of the type itself"
    case .careful: "v and o projections and the outer layers one step better"
    case .compact: "modulation, a quarter of the model, one step smaller"
    }
  }
}

/// Decides about types tensor by tensor, in the order in which a file holds them: mixes give the
/// first few value projections another type than the rest.
struct TypePolicy {
  private let mix: TypeMix
  private let preset: TypePreset
  /// Value projections and layers of each part.
  private let valueCounts: [ModelPart: Int]
  private let layerCounts: [String: Int]
  private var valuesSeen: [ModelPart: Int] = [:]
  private var downsSeen = 0
  /// Whether any tensor so far got another type than published files give it.
  private(set) var presetMatters = false

  /// - Parameters:
  ///   - mix: the file's type.
  ///   - preset: what differs from it.
  ///   - tensors: all tensors by name and role.
  init(
    _ mix: TypeMix, _ preset: TypePreset,
    tensors: [(part: ModelPart, name: String, role: TensorRole)]
  ) {
    self.mix = mix
    self.preset = preset
    var values: [ModelPart: Int] = [:]
    var layers: [String: Int] = [:]
    for tensor in tensors {
      if tensor.role == .value { values[tensor.part, default: 0] += 1 }
      if let (stack, number) = Self.layer(of: tensor.name) {
        layers[stack] = max(layers[stack] ?? 0, number + 1)
      }
    }
    valueCounts = values
    layerCounts = layers
  }

  /// The type of the next tensor, and why it is not the file's.
  mutating func type(
    _ part: ModelPart, _ name: String, _ role: TensorRole
  ) -> (type: ElementType, reason: String?) {
    switch role {
    case .vector: return (.f32, mix.base == .f32 ? nil : "vector")
    case .table: return (mix.base == .f32 || mix.base == .bf16 ? .f32 : .f16, kept)
    case .sensitive: return (mix.base.isBlockQuantized ? .f16 : mix.base, kept)
    case .embedding, .value, .textDown, .modulation, .matrix: break
    }
    // Counted in any case, since the count decides about those that follow.
    let published = publishedType(part, role)
    guard mix.base.isBlockQuantized, preset != .pure else { return (mix.base, nil) }
    if role == .embedding { return embeddingType() }
    if preset == .compact, role == .modulation {
      return choose(published.stepSmaller, insteadOf: published)
    }
    if preset == .careful, role == .value || Self.isOutput(name) || isBorder(name) {
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
  private mutating func publishedType(_ part: ModelPart, _ role: TensorRole) -> ElementType {
    switch role {
    case .value:
      let index = valuesSeen[part, default: 0]
      valuesSeen[part] = index + 1
      return valueType(part, index)
    case .textDown:
      downsSeen += 1
      return downType(downsSeen - 1, of: layerCounts["enc.blk"] ?? 0)
    default: return mix.base
    }
  }

  private func valueType(_ part: ModelPart, _ index: Int) -> ElementType {
    switch (mix.base, mix.size) {
    case (.q3_K, .medium): index < 2 ? .q5_K : .q4_K
    case (.q3_K, .large): .q5_K
    case (.q4_K, .small): index < 4 ? .q5_K : .q4_K
    case (.q4_K, .medium), (.q5_K, .medium):
      part == .textEncoder && !Self.usesMoreBits(index, of: valueCounts[part] ?? 0)
        ? mix.base : .q6_K
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

  private static func isOutput(_ name: String) -> Bool {
    [".attn.w1o.weight", ".attn.w2o.weight", ".attn_o.weight"].contains { name.hasSuffix($0) }
  }

  /// Whether a tensor lies in one of the first two layers of the network or of its last two.
  private func isBorder(_ name: String) -> Bool {
    guard let (stack, number) = Self.layer(of: name), let count = layerCounts[stack] else {
      return false
    }
    let isFirst = stack == "double_layers" || layerCounts["double_layers"] == nil
    let isLast = stack == "single_layers" || layerCounts["single_layers"] == nil
    return stack == "enc.blk"
      ? number < 2 || number >= count - 2
      : isFirst && number < 2 || isLast && number >= count - 2
  }

  /// The stack of layers that a name belongs to, and the number of its layer.
  private static func layer(of name: String) -> (stack: String, number: Int)? {
    for stack in ["double_layers", "single_layers", "enc.blk"]
    where name.hasPrefix(stack + ".") {
      let number = name.dropFirst(stack.count + 1).prefix { $0 != "." }
      return Int(number).map { (stack, $0) }
    }
    return nil
  }
}
