import Compute
import Diffusion

/// How much the tokens of a prompt count.
package struct TokenWeights: Sendable, Equatable {
  /// For each token; 1 for special ones and padding.
  let weights: [Float]
  private let weighting: PromptWeighting

  /// Whether the states of an empty prompt are needed.
  package var needsEmptyPrompt: Bool { weighting == .comfy }

  /// Takes the weights of a prompt; nil if all of it counts alike.
  ///
  /// - Parameters:
  ///   - prompt: the prompt.
  ///   - origins: the piece that each token comes from; nil for special ones.
  package init?(_ prompt: WeightedPrompt, origins: [Int?]) {
    guard prompt.weighting != .off, !prompt.isPlain else { return nil }
    weights = origins.map { origin in
      guard let piece = origin.map({ prompt.pieces[$0] }) else { return 1 }
      // The web UI's mark of a new window.
      let isMark =
        prompt.weighting == .a1111 && piece == WeightedText(WeightedPrompt.windowMark, -1)
      return isMark ? 1 : Float(piece.weight)
    }
    weighting = prompt.weighting
  }

  /// Changes what an encoder made of the tokens.
  ///
  /// The web UI's way multiplies states; for CLIP it brings their mean back, which makes no sense
  /// for T5, whose states have a mean near zero. ComfyUI's moves states away from those of the
  /// empty prompt, or towards them.
  ///
  /// - Parameters:
  ///   - states: `[tokens, width]`, and rows of padding.
  ///   - restoresMean: whether the web UI's way keeps the mean of all states.
  ///   - empty: the states of the empty prompt; rows that it lacks count as zero.
  ///   - device: where they are.
  /// - Returns: the changed states.
  /// - Throws: `ComputeError` if memory runs out.
  package func apply(
    to states: Matrix, restoresMean: Bool = false, empty: Matrix?, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let (width, before) = (states.columns, try device.read(states))
    let base = try empty.map { matrix throws(ComputeError) in try device.read(matrix) } ?? []
    var values = before
    for (row, weight) in weights.enumerated() where weight != 1 && row < states.rows {
      for index in row * width..<(row + 1) * width {
        let origin = weighting == .comfy && index < base.count ? base[index] : 0
        values[index] = (values[index] - origin) * weight + origin
      }
    }
    if weighting == .a1111, restoresMean {
      func mean(_ values: [Float]) -> Double {
        values.reduce(0.0) { $0 + Double($1) } / Double(max(1, values.count))
      }
      let changed = mean(values)
      if changed != 0 {
        let factor = Float(mean(before) / changed)
        for index in values.indices { values[index] *= factor }
      }
    }
    return try device.matrix(values, rows: states.rows, columns: width)
  }
}
