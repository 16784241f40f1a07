import Checkpoints
import Diffusion
import ModelFiles

/// A decoder that is opened from a part in the place of an autoencoder.
package protocol StoredLatentCodec: LatentCodec {
  /// What is known of its network as data.
  static var description: NetworkDescription { get }

  /// Opens it.
  ///
  /// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous.
  init(_ source: PartSource) throws(ModelFileError)
}

/// All of them.
private let latentCodecs: [any StoredLatentCodec.Type] = [
  AutoencoderDecoder.self, TinyDecoder.self,
]

/// Opens the autoencoder's decoder that a part holds, whichever it is.
///
/// - Parameter source: the part in the place of the autoencoder.
/// - Returns: the decoder.
/// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous.
package func openLatentCodec(_ source: PartSource) throws(ModelFileError) -> any LatentCodec {
  for codec in latentCodecs where codec.description.id == source.network.id {
    return try codec.init(source)
  }
  throw source.weights.malformed("holds no decoder of latents that can be run")
}

/// Opens the encoder of a file that holds it, with or without a decoder.
///
/// - Parameter source: the part in the place of the autoencoder.
/// - Returns: the encoder.
/// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous, and
///   if there is no encoder.
package func openLatentEncoder(_ source: PartSource) throws(ModelFileError) -> any LatentEncoder {
  if source.network.id == TinyDecoder.description.id { return try TinyEncoder(source) }
  guard let encoder = try openLatentCodec(source).openEncoder() else {
    throw source.weights.malformed("holds no encoder of pictures")
  }
  return encoder
}
