import Checkpoints
import TextToImage

extension Console {
  /// Keeps the tokenizers that the user named, for models whose files carry none, and says so.
  ///
  /// - Parameter pipeline: a model that was used with them.
  func keepTokenizers(of pipeline: Pipeline) {
    for tokenizer in pipeline.namedTokenizers {
      guard let path = TokenizerStore.keep(tokenizer) else { continue }
      note(
        "the \(tokenizer.place.name) is kept in \(path), for models without one: "
          + "\(tokenizer.place.flag) need not be given again")
    }
  }
}
