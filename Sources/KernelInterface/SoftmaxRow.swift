/// Arguments of `KernelSet.continueSoftmax`, a step of the online softmax: the next scores of one
/// row, which become `exp(scale · score − maximum)` with the largest score so far.
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
  /// The factor that rescales everything computed with the old maximum. Written.
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
