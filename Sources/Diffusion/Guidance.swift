/// How several predictions become one, level by level.
package struct Guidance: Sendable, Hashable {
  /// The scale of each level; 1 where the conditional prediction stands alone.
  private let scales: [Float]
  /// How far a guided prediction is brought back to the conditional one's spread, 0 to 1.
  private let rescale: Float

  /// - Parameters:
  ///   - scales: of classifier-free guidance for each level; up to 1 it is off.
  ///   - rescale: how far guided predictions are brought back to the spread of the conditional
  ///     ones, 0 to 1.
  package init(scales: [Float], rescale: Float = 0) {
    self.scales = scales
    self.rescale = rescale
  }

  /// Prompts that take part in the run.
  package var branchCount: Int { scales.contains { $0 > 1 } ? 2 : 1 }

  /// The branches that a level needs: the unconditional prompt's comes first.
  package func branches(atLevel level: Int) -> Range<Int> {
    let count = branchCount
    return scales[level] > 1 ? 0..<count : count - 1..<count
  }

  /// One prediction for each picture.
  ///
  /// - Parameters:
  ///   - predictions: of the level's branches, all pictures of one after the other.
  ///   - level: where they were made.
  /// - Returns: the guided predictions, in the pictures' order.
  package func combine(_ predictions: [Latents], atLevel level: Int) -> [Latents] {
    guard branches(atLevel: level).count == 2 else { return predictions }
    let (count, scale) = (predictions.count / 2, scales[level])
    return (0..<count).map { picture in
      let (unconditional, conditional) = (predictions[picture], predictions[count + picture])
      let guided = unconditional.with(
        zip(unconditional.values, conditional.values).map { $0 + scale * ($1 - $0) })
      return rescale > 0 ? rescaled(guided, conditional) : guided
    }
  }

  /// Brings a prediction's standard deviation back to another one's, in part.
  ///
  /// - SeeAlso: Lin et al. 2023, arXiv 2305.08891, section 3.4.
  private func rescaled(_ guided: Latents, _ conditional: Latents) -> Latents {
    let own = guided.standardDeviation
    guard own > 0 else { return guided }
    let factor = rescale * Float(conditional.standardDeviation / own) + (1 - rescale)
    return guided.with(guided.values.map { $0 * factor })
  }
}

extension Latents {
  /// The standard deviation of all values, without bias.
  fileprivate var standardDeviation: Double {
    let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
    let squares = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    return (squares / Double(max(1, values.count - 1))).squareRoot()
  }
}
