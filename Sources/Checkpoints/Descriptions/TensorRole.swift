/// What a tensor is for, as far as it decides about its type.
package enum TensorRole: Equatable, Sendable {
  /// Norm weights and biases, and small tables that are kept as float32.
  case vector
  /// Tables that networks add as they are, not through a product: readers take them as numbers
  /// only.
  case table
  /// Small layers at the borders of the network, convolutions: every quantizer leaves them alone.
  case sensitive
  /// Tokens' embeddings, of which only the prompt's rows are read.
  case embedding
  /// A value projection.
  case value
  /// Projections of queries, keys and values in one matrix.
  case fusedValue
  /// The projection of attention's result.
  case output
  /// The last projection of a text encoder's feed-forward network.
  case textDown
  /// Shifts, scales and gates of a layer.
  case modulation
  /// Any other matrix.
  case matrix

  /// Whether the tensor is quantized to blocks: such tensors are nearly all of a network.
  package var isQuantized: Bool {
    switch self {
    case .vector, .table, .sensitive: false
    case .embedding, .value, .fusedValue, .output, .textDown, .modulation, .matrix: true
    }
  }
}

/// Whose rules for mixes of types the published files of a network follow.
package enum QuantizationConvention: Sendable {
  /// city96's, for transformers that denoise: all layers alike.
  case denoiser
  /// llama.cpp's, for text encoders: first, last and every third layer get better types.
  case languageModel
}
