import Compute

/// A text as the tokens of a model's text encoders.
package protocol PromptTokens: Sendable {
  /// Tokens beyond the length that was asked for, which were cut off.
  var droppedCount: Int { get }
  /// Tokens beyond those that the encoder of the whole prompt's vector can read; 0 in families that
  /// have none.
  var droppedPooledCount: Int { get }
  /// Rows that encoders and denoiser make of them: all that memory depends on.
  var rowCounts: [Int] { get }
}

extension PromptTokens {
  package var droppedPooledCount: Int { 0 }
}

/// Turns prompts into what a denoiser is conditioned on.
package protocol Conditioner: Sendable {
  associatedtype Tokens: PromptTokens
  associatedtype Conditioning: Sendable

  /// What makes the vector of a whole prompt, and the tokens that it can read; nil in families that
  /// have none.
  var pooledEncoder: (name: String, maximumLength: Int)? { get }
  /// What is read once for all prompts of a run; empty if the model was opened without text
  /// encoders.
  var stages: [WeightStage] { get }

  /// Cuts a prompt into tokens.
  ///
  /// - Parameters:
  ///   - prompt: with how much its pieces count.
  ///   - maximumLength: most tokens, the end token among them; the rest is dropped.
  /// - Returns: the tokens; none if the model was opened without text encoders.
  func tokens(of prompt: WeightedPrompt, maximumLength: Int) -> Tokens

  /// Runs the text encoders. All prompts pass through a layer before the next one's weights are
  /// read.
  ///
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read, the work is cancelled or
  ///   the model was opened without text encoders.
  func encode(
    _ prompts: [Tokens], on device: any ComputeDevice
  ) throws(ComputeError) -> [EncodedPrompt]

  /// What the denoiser makes of an encoded prompt, once for all steps.
  ///
  /// - Throws: `ComputeError` if memory runs out, weights cannot be read or the work is cancelled.
  func condition(
    _ prompt: EncodedPrompt, on device: any ComputeDevice
  ) throws(ComputeError) -> Conditioning

  /// What the text encoders make of a prompt, as the denoiser takes it.
  var embeddingLayout: EmbeddingLayout { get }
}

extension Conditioner {
  /// Cuts a text without weights into tokens.
  package func tokens(of text: String, maximumLength: Int) -> Tokens {
    tokens(of: WeightedPrompt(text), maximumLength: maximumLength)
  }

  package var pooledEncoder: (name: String, maximumLength: Int)? { nil }

  /// Whether texts can be encoded.
  package var hasEncoders: Bool { !stages.isEmpty }
}

extension ComputeError {
  /// What a model that was opened without text encoders says of texts.
  package static var withoutEncoders: ComputeError {
    .unreadable(path: "text encoder", fault: "was not opened: prompts have to come encoded")
  }
}
