import Compute
import ComputeCPU
import Diffusion
import Machine

extension Pipeline {
  /// Rows of all texts together, at most: more than enough for the widest encoder.
  private static let textRows = 16_384

  /// Encodes the prompts of requests, all of them layer by layer, for what enters the encoders'
  /// weights; when it is this caller's turn.
  ///
  /// Of many prompts as many are taken as say enough, spread evenly; where guidance is usual, the
  /// empty one is among them.
  ///
  /// - Parameters:
  ///   - prompts: texts.
  ///   - request: one whose settings count.
  ///   - listener: told of what enters weights, on a working thread.
  /// - Throws: `GenerationError`.
  package func encodeTexts(
    _ prompts: [String], like request: GenerationRequest, _ listener: InputListener
  ) async throws(GenerationError) {
    var request = request
    request.prompt = prompts.first ?? ""
    try await run(request, observer: listener, onProgress: { _ in }) {
      run throws(GenerationError) in try run.encode(prompts, rows: Self.textRows)
    }
  }
}
