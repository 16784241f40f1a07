/// Functions on single rows of floats, used between matmuls. Every set compiles the same source for
/// its CPU, so that all sets give the same bits.
package struct ElementwiseKernels: Sendable {
  /// `result = activation(source) · factor`.
  package let activate: @Sendable (UnsafePointer<ActivatedRow>) -> Void
  /// `result = source · scale + offset` with one scale and offset for the row, then SiLU if wanted.
  package let scale: @Sendable (UnsafePointer<ScaledRow>) -> Void
  /// `result = base + gate · update`.
  package let addGated: @Sendable (UnsafePointer<GatedSumRow>) -> Void
  /// Normalizes a row, then scales and shifts each element.
  package let normalize: @Sendable (UnsafePointer<NormalizedRow>) -> Void
  /// Mean and sum of squared deviations of a number of elements.
  package let moments: @Sendable (UnsafePointer<Float>, Int) -> RowMoments
  /// Turns pairs of neighbours by angles.
  package let rotate: @Sendable (UnsafePointer<RotatedRow>) -> Void

  package init(
    activate: @escaping @Sendable (UnsafePointer<ActivatedRow>) -> Void,
    scale: @escaping @Sendable (UnsafePointer<ScaledRow>) -> Void,
    addGated: @escaping @Sendable (UnsafePointer<GatedSumRow>) -> Void,
    normalize: @escaping @Sendable (UnsafePointer<NormalizedRow>) -> Void,
    moments: @escaping @Sendable (UnsafePointer<Float>, Int) -> RowMoments,
    rotate: @escaping @Sendable (UnsafePointer<RotatedRow>) -> Void
  ) {
    self.activate = activate
    self.scale = scale
    self.addGated = addGated
    self.normalize = normalize
    self.moments = moments
    self.rotate = rotate
  }
}

/// An activation function between matmuls.
package enum Activation: Sendable {
  /// `x · σ(x)`.
  case silu
  /// GELU, tanh approximation: `x · σ(2 √(2/π) (x + 0.044715 x³))`.
  case geluTanh
  /// GELU, sigmoid approximation: `x · σ(1.702 x)`.
  case geluQuick
  /// `max(x, 0)`; NaN stays NaN.
  case rectifier
}

/// Arguments of `ElementwiseKernels.activate`.
package struct ActivatedRow {
  package var activation: Activation
  /// `[count]`.
  package var source: UnsafePointer<Float>
  /// `[count]`; nil for ones.
  package var factor: UnsafePointer<Float>?
  /// `[count]`; may be one of the inputs.
  package var result: UnsafeMutablePointer<Float>
  package var count: Int

  package init(
    _ activation: Activation, source: UnsafePointer<Float>, factor: UnsafePointer<Float>? = nil,
    result: UnsafeMutablePointer<Float>, count: Int
  ) {
    self.activation = activation
    self.source = source
    self.factor = factor
    self.result = result
    self.count = count
  }
}

/// Arguments of `ElementwiseKernels.scale`.
package struct ScaledRow {
  /// `[count]`.
  package var source: UnsafePointer<Float>
  package var scale: Float
  package var offset: Float
  /// Whether SiLU follows.
  package var isActivated: Bool
  /// `[count]`; may be the source.
  package var result: UnsafeMutablePointer<Float>
  package var count: Int

  package init(
    source: UnsafePointer<Float>, scale: Float, offset: Float, isActivated: Bool,
    result: UnsafeMutablePointer<Float>, count: Int
  ) {
    self.source = source
    self.scale = scale
    self.offset = offset
    self.isActivated = isActivated
    self.result = result
    self.count = count
  }
}

/// Arguments of `ElementwiseKernels.addGated`.
package struct GatedSumRow {
  /// `[count]`.
  package var base: UnsafePointer<Float>
  /// `[count]`; nil for ones.
  package var gate: UnsafePointer<Float>?
  /// `[count]`.
  package var update: UnsafePointer<Float>
  /// `[count]`; may be one of the inputs.
  package var result: UnsafeMutablePointer<Float>
  package var count: Int

  package init(
    base: UnsafePointer<Float>, gate: UnsafePointer<Float>?, update: UnsafePointer<Float>,
    result: UnsafeMutablePointer<Float>, count: Int
  ) {
    self.base = base
    self.gate = gate
    self.update = update
    self.result = result
    self.count = count
  }
}

/// How a row is normalized.
package enum RowStatistics: Sendable {
  /// To mean 0 and variance 1.
  case meanAndVariance
  /// To a mean square of 1.
  case rootMeanSquare
  /// Not at all.
  case none
}

/// Arguments of `ElementwiseKernels.normalize`:
/// `result = (source − mean) / √(variance + epsilon) · (weightOffset + weight) + shift`.
package struct NormalizedRow {
  package var statistics: RowStatistics
  /// `[count]`.
  package var source: UnsafePointer<Float>
  package var epsilon: Float
  /// `[count]`; nil if nothing is scaled.
  package var weight: UnsafePointer<Float>?
  /// Added to weights: 1 for the scales of adaptive norms.
  package var weightOffset: Float
  /// `[count]`; nil for zeros. Read only with a weight.
  package var shift: UnsafePointer<Float>?
  /// `[count]`; may be the source.
  package var result: UnsafeMutablePointer<Float>
  package var count: Int

  package init(
    _ statistics: RowStatistics, source: UnsafePointer<Float>, epsilon: Float,
    weight: UnsafePointer<Float>? = nil, weightOffset: Float = 0,
    shift: UnsafePointer<Float>? = nil, result: UnsafeMutablePointer<Float>, count: Int
  ) {
    self.statistics = statistics
    self.source = source
    self.epsilon = epsilon
    self.weight = weight
    self.weightOffset = weightOffset
    self.shift = shift
    self.result = result
    self.count = count
  }
}

/// Arguments of `ElementwiseKernels.rotate`: for each pair of neighbours,
/// `(x, y) → (x · cos − y · sin, x · sin + y · cos)`.
package struct RotatedRow {
  /// `[count]`, an even number.
  package var source: UnsafePointer<Float>
  /// `[count]`: cosine and sine of each pair's angle.
  package var angles: UnsafePointer<Float>
  /// `[count]`; may be the source.
  package var result: UnsafeMutablePointer<Float>
  package var count: Int

  package init(
    source: UnsafePointer<Float>, angles: UnsafePointer<Float>,
    result: UnsafeMutablePointer<Float>, count: Int
  ) {
    self.source = source
    self.angles = angles
    self.result = result
    self.count = count
  }
}

/// Mean and sum of squared deviations of one row.
package struct RowMoments: Sendable {
  package let mean: Double
  package let deviations: Double

  package init(mean: Double, deviations: Double) {
    self.mean = mean
    self.deviations = deviations
  }
}
