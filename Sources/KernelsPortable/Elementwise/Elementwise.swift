import KernelInterface

/// The functions of this folder.
let elementwiseKernels = ElementwiseKernels(
  activate: activate, scale: scale, addGated: addGated, normalize: normalize, moments: moments,
  rotate: rotate)

/// See `ElementwiseKernels.activate`.
func activate(_ arguments: UnsafePointer<ActivatedRow>) {
  let row = arguments.pointee
  switch row.activation {
  case .silu: activate(row) { silu($0) }
  case .geluTanh:
    activate(row) { x in
      let inner = x + 0.044_715 * x * x * x
      return x / (1 + clampedExponential(-1.595_769_121_6 * inner))
    }
  case .geluQuick: activate(row) { x in x / (1 + clampedExponential(-1.702 * x)) }
  case .rectifier: activate(row) { $0.replacing(with: 0, where: $0 .< 0) }
  }
}

@inline(__always)
private func activate(_ row: ActivatedRow, _ function: (Floats8) -> Floats8) {
  if let factor = row.factor {
    mapLanes(row.source, factor, factor, into: row.result, count: row.count) { x, factor, _ in
      function(x) * factor
    }
  } else {
    mapLanes(row.source, row.source, row.source, into: row.result, count: row.count) { x, _, _ in
      function(x)
    }
  }
}

/// See `ElementwiseKernels.scale`.
func scale(_ arguments: UnsafePointer<ScaledRow>) {
  let row = arguments.pointee
  let (source, scale, offset) = (row.source, row.scale, row.offset)
  if row.isActivated {
    mapLanes(source, source, source, into: row.result, count: row.count) { x, _, _ in
      silu(x * scale + offset)
    }
  } else {
    mapLanes(source, source, source, into: row.result, count: row.count) { x, _, _ in
      x * scale + offset
    }
  }
}

/// See `ElementwiseKernels.addGated`.
func addGated(_ arguments: UnsafePointer<GatedSumRow>) {
  let row = arguments.pointee
  if let gate = row.gate {
    mapLanes(row.base, gate, row.update, into: row.result, count: row.count) { base, gate, update in
      base + update * gate
    }
  } else {
    mapLanes(row.base, row.update, row.update, into: row.result, count: row.count) {
      base, update, _ in base + update
    }
  }
}

/// See `ElementwiseKernels.moments`. The row is in the first-level cache after the first look.
func moments(_ x: UnsafePointer<Float>, count: Int) -> RowMoments {
  let centre = sumLanes(x, count: count) { ($0, $0) }.0 / Float(count)
  let (sum, squares) = sumLanes(x, count: count) { value in
    let difference = value - centre
    return (difference, difference * difference)
  }
  // What rounding left in the centre.
  let shift = Double(sum) / Double(count)
  let rest = Double(squares) - Double(sum) * shift
  return RowMoments(mean: Double(centre) + shift, deviations: rest < 0 ? 0 : rest)
}

/// See `ElementwiseKernels.normalize`.
func normalize(_ arguments: UnsafePointer<NormalizedRow>) {
  let row = arguments.pointee
  let (mean, factor) = row.meanAndFactor
  let source = row.source
  guard let weight = row.weight else {
    return mapLanes(source, source, source, into: row.result, count: row.count) { x, _, _ in
      (x - mean) * factor
    }
  }
  let one = row.weightOffset
  if let shift = row.shift {
    mapLanes(source, weight, shift, into: row.result, count: row.count) { x, weight, shift in
      (x - mean) * factor * (one + weight) + shift
    }
  } else {
    mapLanes(source, weight, weight, into: row.result, count: row.count) { x, weight, _ in
      (x - mean) * factor * (one + weight)
    }
  }
}

/// See `ElementwiseKernels.rotate`.
func rotate(_ arguments: UnsafePointer<RotatedRow>) {
  let row = arguments.pointee
  let swapped = SIMD8<Float>(-1, 1, -1, 1, -1, 1, -1, 1)
  mapLanes(row.source, row.angles, row.angles, into: row.result, count: row.count) {
    pairs, angles, _ in
    let (cosines, sines) = (angles.evenHalf, angles.oddHalf)
    let (x, y) = (pairs.evenHalf, pairs.oddHalf)
    return pairs * interleave(cosines, cosines) + swapped * interleave(y, x)
      * interleave(sines, sines)
  }
}

/// Lanes of two vectors in turns.
@inline(__always)
private func interleave(_ even: SIMD4<Float>, _ odd: SIMD4<Float>) -> Floats8 {
  var result = Floats8()
  result.evenHalf = even
  result.oddHalf = odd
  return result
}

extension NormalizedRow {
  /// What is taken from each element, and what the rest is multiplied by.
  @inline(__always)
  fileprivate var meanAndFactor: (mean: Float, factor: Float) {
    switch statistics {
    case .none: return (0, 1)
    case .rootMeanSquare:
      let square = sumLanes(source, count: count) { ($0 * $0, $0) }.0 / Float(count)
      return (0, 1 / (square + epsilon).squareRoot())
    case .meanAndVariance:
      let mean = sumLanes(source, count: count) { ($0, $0) }.0 / Float(count)
      let variance =
        sumLanes(source, count: count) { value in
          let difference = value - mean
          return (difference * difference, difference)
        }.0 / Float(count)
      return (mean, 1 / (variance + epsilon).squareRoot())
    }
  }
}
