import Checkpoints
import Diffusion
import ModelFiles

/// Opens the autoencoder's decoder that a part holds, whichever it is.
///
/// - Parameter source: the part in the place of the autoencoder.
/// - Returns: the decoder.
/// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous.
package func openLatentCodec(_ source: PartSource) throws(ModelFileError) -> any LatentCodec {
  if source.network.id == TinyDecoder.description.id { return try TinyDecoder(source) }
  return try AutoencoderDecoder(source)
}
