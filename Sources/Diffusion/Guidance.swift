/// How several predictions become one.
package enum Guidance: Sendable, Equatable {
  /// One prompt, one prediction.
  case none
  /// Classifier-free guidance: from the unconditional prediction past the conditional one.
  case classifierFree(scale: Float)

  /// Prompts that take part.
  package var branchCount: Int { self == .none ? 1 : 2 }

  /// One prediction for each picture.
  ///
  /// - Parameter predictions: of all pictures for the unconditional prompt, then for the
  ///   conditional one.
  /// - Returns: the guided predictions, in the pictures' order.
  package func combine(_ predictions: [Latents]) -> [Latents] {
    guard case .classifierFree(let scale) = self else { return predictions }
    let count = predictions.count / 2
    return (0..<count).map { picture in
      let (unconditional, conditional) = (predictions[picture], predictions[count + picture])
      return unconditional.with(
        zip(unconditional.values, conditional.values).map { $0 + scale * ($1 - $0) })
    }
  }
}
