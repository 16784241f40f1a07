/// Errors of the products with a stored matrix, relative to the products, as they were measured
/// when it was quantized for what enters it.
public struct ProductErrors: Sendable, Equatable {
  /// What quantizing the matrix left.
  public var weights: Double
  /// What activations of 8 bits add whose scales are shared by 32 columns, and by 256.
  public var activations32, activations256: Double

  /// - Parameters: see the properties.
  public init(weights: Double, activations32: Double, activations256: Double) {
    self.weights = weights
    self.activations32 = activations32
    self.activations256 = activations256
  }

  /// Whether all are numbers that errors can be.
  public var isPlausible: Bool {
    [weights, activations32, activations256].allSatisfy { $0.isFinite && $0 >= 0 }
  }

  /// Whether an error that is independent of that of the weights adds at most a twentieth to it.
  public func tolerates(_ error: Double) -> Bool { error * error <= 0.1 * weights * weights }
}
