import BlockFormats

/// What a matrix may become.
package struct Choice: Sendable, Equatable {
  package let type: ElementType
  package let bytes: Int
  /// What it adds to the relative squared error of the model's output.
  package let error: Double

  package init(type: ElementType, bytes: Int, error: Double) {
    self.type = type
    self.bytes = bytes
    self.error = error
  }
}

/// A type for each matrix, so that the sum of their errors is least within a number of bytes.
///
/// This is a multiple-choice knapsack. Of each matrix's choices only those on the lower convex hull
/// of error over bytes are taken, in the order of how much error a byte saves; that is optimal for
/// the number of bytes that it ends with (Lagrange multipliers, Everett 1963), and where bytes are
/// left over because the next step does not fit, later ones that do are taken. The optimum of the
/// relaxed problem, in which that next step may be taken in part, bounds what any choice could do.
package struct Allocation: Sendable, Equatable {
  /// The choice of each matrix.
  package let choices: [Int]
  package let bytes: Int
  package let error: Double
  /// No choice within the bytes has less error.
  package let leastError: Double

  /// Finds the choices; nil if not even the smallest fit.
  ///
  /// - Parameters:
  ///   - matrices: the choices of each, at least one.
  ///   - budget: bytes for all together.
  package init?(_ matrices: [[Choice]], budget: Int) {
    let hulls = matrices.map(Self.hull)
    var level = hulls.map { _ in 0 }
    var bytes = 0
    var error = 0.0
    for (choices, hull) in zip(matrices, hulls) {
      guard let first = hull.first else { return nil }
      bytes += choices[first].bytes
      error += choices[first].error
    }
    guard bytes <= budget else { return nil }
    var least: Double?
    for step in Self.steps(matrices, hulls) {
      guard bytes + step.bytes <= budget else {
        // The first that does not fit, taken in part.
        if least == nil {
          least = error - step.gain * Double(budget - bytes) / Double(step.bytes)
        }
        continue
      }
      // A step whose predecessor did not fit cannot be taken either.
      guard level[step.matrix] == step.from else { continue }
      level[step.matrix] += 1
      bytes += step.bytes
      error -= step.gain
    }
    choices = zip(hulls, level).map { $0[$1] }
    self.bytes = bytes
    self.error = zip(matrices, choices).reduce(0) { $0 + $1.0[$1.1].error }
    leastError = max(0, min(least ?? self.error, self.error))
  }

  private struct Step {
    let matrix: Int
    /// Place on the hull where the step begins.
    let from: Int
    let bytes: Int
    let gain: Double
  }

  /// Steps along all hulls, those that save most for a byte first.
  private static func steps(_ matrices: [[Choice]], _ hulls: [[Int]]) -> [Step] {
    var steps: [Step] = []
    for (matrix, hull) in hulls.enumerated() {
      for from in 0..<max(0, hull.count - 1) {
        let (low, high) = (matrices[matrix][hull[from]], matrices[matrix][hull[from + 1]])
        steps.append(
          Step(
            matrix: matrix, from: from, bytes: high.bytes - low.bytes,
            gain: low.error - high.error))
      }
    }
    // Stable: of equals the first matrix comes first, and a hull's steps stay in order.
    return steps.enumerated().sorted { left, right in
      let (a, b) = (left.element, right.element)
      let (first, second) = (a.gain * Double(b.bytes), b.gain * Double(a.bytes))
      return first == second ? left.offset < right.offset : first > second
    }.map(\.element)
  }

  /// The choices on the lower convex hull, from the smallest: each saves less for a byte than the
  /// one before.
  static func hull(_ choices: [Choice]) -> [Int] {
    let order = choices.indices.filter { choices[$0].error.isFinite }.sorted {
      (choices[$0].bytes, choices[$0].error) < (choices[$1].bytes, choices[$1].error)
    }
    var hull: [Int] = []
    for index in order {
      if let last = hull.last, choices[index].error >= choices[last].error { continue }
      while hull.count > 1 {
        let (a, b, c) = (
          choices[hull[hull.count - 2]], choices[hull[hull.count - 1]], choices[index]
        )
        let flatter =
          (a.error - b.error) * Double(c.bytes - b.bytes)
          <= (b.error - c.error) * Double(b.bytes - a.bytes)
        guard flatter else { break }
        hull.removeLast()
      }
      hull.append(index)
    }
    return hull
  }
}
