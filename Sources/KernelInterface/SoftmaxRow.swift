/// Arguments of `KernelSet.continueSoftmax`: the next scores of one row, which become
/// `exp(scale · score − maximum)` under the largest score so far.
package struct SoftmaxRow {
  /// `[count]`, changed in place.
  package var scores: UnsafeMutablePointer<Float>
  package var count: Int
  /// Factor on the scores.
  package var scale: Float
  /// The largest scaled score so far, −∞ at first. Updated.
  package var maximum: Float
  /// The sum of all exponentials so far, relative to `maximum`. Updated.
  package var sum: Float
  /// By what everything that was computed under the old maximum has to be multiplied. Written.
  package var correction: Float

  package init(scores: UnsafeMutablePointer<Float>, count: Int, scale: Float) {
    self.scores = scores
    self.count = count
    self.scale = scale
    maximum = -.infinity
    sum = 0
    correction = 1
  }
}
