/// The instruction that limits the speed of a kind of matmul.
package enum PeakInstruction: Sendable {
  /// Multiply-add in float32.
  case float
  /// 8-bit products, summed.
  case int8
  /// 16-bit products, summed.
  case int16
}
