import BlockFormats
import Checkpoints

/// What a tensor is for, as far as it decides about its type.
package enum TensorRole: Equatable, Sendable {
  /// Norm weights and biases.
  case vector
  /// Tables that networks add as they are, not through a product: readers take them as numbers only.
  case table
  /// Small layers at the borders of the network, convolutions: every quantizer leaves them alone.
  case sensitive
  /// Tokens' embeddings, of which only the prompt's rows are read.
  case embedding
  /// A value projection.
  case value
  /// The last projection of a text encoder's feed-forward network.
  case textDown
  /// Shifts, scales and gates of a layer.
  case modulation
  /// Any other matrix.
  case matrix

  /// - Parameters:
  ///   - part: the part of the model.
  ///   - name: our name.
  ///   - shape: the shape under which it is written.
  init(_ part: ModelPart, _ name: String, shape: [Int]) {
    guard shape.count > 1 else {
      self = .vector
      return
    }
    switch part {
    case .autoencoder: self = .sensitive
    case .transformer: self = Self.ofTransformer(name, shape)
    case .textEncoder: self = Self.ofTextEncoder(name)
    }
  }

  private static func ofTransformer(_ name: String, _ shape: [Int]) -> TensorRole {
    if name == "positional_encoding" || name == "register_tokens" { return .table }
    guard name.hasPrefix("double_layers.") || name.hasPrefix("single_layers."), shape.count == 2
    else { return .sensitive }
    if name.hasSuffix(".attn.w1v.weight") || name.hasSuffix(".attn.w2v.weight") { return .value }
    return name.contains(".mod") ? .modulation : .matrix
  }

  private static func ofTextEncoder(_ name: String) -> TensorRole {
    if name == "token_embd.weight" { return .embedding }
    if name.hasSuffix(".attn_rel_b.weight") { return .vector }
    if name.hasSuffix(".attn_v.weight") { return .value }
    return name.hasSuffix(".ffn_down.weight") ? .textDown : .matrix
  }
}
