import Compute
import ComputeCPU
import Foundation
import KernelInterface
import Kernels
import TestSupport
import Testing

@Suite("Functions on rows")
struct ElementwiseTests {
  /// Lengths below, at and beside whole runs of lanes.
  static let counts = [1, 7, 8, 9, 16, 31, 255, 3072]

  private func values(_ name: String, _ count: Int) -> [Float] {
    SeededWeights.values(name, count: count).map { 3 * $0 }
  }

  /// Runs `body` with each set's functions and expects the same bits from all of them.
  private func everySet(
    _ count: Int, _ body: (ElementwiseKernels, UnsafeMutablePointer<Float>) -> Void
  ) throws -> [Float] {
    let results = KernelSelection.available.map { kernels in
      [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
        if let base = buffer.baseAddress { body(kernels.elementwise, base) }
        initialized = count
      }
    }
    let first = try #require(results.first)
    for result in results { #expect(result.map(\.bitPattern) == first.map(\.bitPattern)) }
    return first
  }

  private func activated(
    _ activation: Activation, _ source: [Float], times factor: [Float]? = nil
  ) throws -> [Float] {
    try everySet(source.count) { kernels, result in
      source.withUnsafeBufferPointer { source in
        (factor ?? []).withUnsafeBufferPointer { factors in
          guard let base = source.baseAddress else { return }
          var row = ActivatedRow(
            activation, source: base, factor: factor == nil ? nil : factors.baseAddress,
            result: result, count: source.count)
          kernels.activate(&row)
        }
      }
    }
  }

  @Test("SiLU and GELU are within a few units in the last place of float64")
  func activations() throws {
    let values = (-2000...2000).map { Float($0) / 37 }
    for (value, result) in zip(values, try activated(.silu, values)) {
      let exact = Double(value) / (1 + exp(-Double(value)))
      #expect(abs(Double(result) - exact) <= 4 * abs(exact) * 0x1p-23 + 1e-30)
    }
    for (value, result) in zip(values, try activated(.geluTanh, values)) {
      let x = Double(value)
      let inner = 2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
      let exact = x / (1 + exp(-inner))
      // The exponent's error, relative, is that of its argument, absolute: |inner| · 2⁻²².
      #expect(
        abs(Double(result) - exact) <= abs(exact) * 0x1p-22 * (4 + min(88, abs(inner))) + 1e-30)
    }
    #expect(try activated(.rectifier, [-1, -0.5, 0, 0.5, 2]) == [0, 0, 0, 0.5, 2])
  }

  @Test("a factor multiplies what the activation gives", arguments: counts)
  func factors(_ count: Int) throws {
    let (x, factor) = (values("x", count), values("factor", count))
    let expected = zip(try activated(.silu, x), factor).map { $0 * $1 }
    #expect(try activated(.silu, x, times: factor) == expected)
  }

  @Test(
    "NaN stays NaN whatever its payload",
    arguments: [0x7FC0_0000, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x7F80_0001, 0xFFC0_0100] as [UInt32])
  func notANumber(bits: UInt32) throws {
    let nan = Float(bitPattern: bits)
    for activation in [Activation.silu, .geluTanh, .rectifier] {
      // In a whole run of lanes and in the last, ragged one.
      for count in [3, 8] {
        var row = [Float](repeating: 1, count: count)
        row[1] = nan
        #expect(try activated(activation, row).map(\.isNaN) == row.map(\.isNaN))
      }
    }
    // One undefined query spoils the whole row of its softmax, and so its result.
    let q = try Matrix([nan, 1, 1, 1], rows: 2, columns: 2)
    let k = try Matrix([1, 2, 3, 4], rows: 2, columns: 2)
    let result = try Matrix(rows: 2, columns: 2)
    try CPUDevice(threadCount: 1).attend(
      Attention(
        q, k, k, sequences: [AttentionSequence(ranges: [0..<2])], headDimension: 2, scale: 1),
      into: result)
    #expect(result.values.map(\.isNaN) == [true, true, false, false])
  }

  /// What a row is scaled and shifted by.
  enum Affine: CaseIterable { case none, weight, weightAndShift }

  /// Normalizes `x` in place, as products do with rows that they have made.
  private func normalized(
    _ statistics: RowStatistics, _ x: [Float], weight: [Float], shift: [Float], _ affine: Affine
  ) throws -> [Float] {
    try everySet(x.count) { kernels, result in
      for (index, value) in x.enumerated() { result[index] = value }
      weight.withUnsafeBufferPointer { weight in
        shift.withUnsafeBufferPointer { shift in
          var row = NormalizedRow(
            statistics, source: UnsafePointer(result), epsilon: 1e-5,
            weight: affine == .none ? nil : weight.baseAddress, weightOffset: 1,
            shift: affine == .weightAndShift ? shift.baseAddress : nil, result: result,
            count: x.count)
          kernels.normalize(&row)
        }
      }
    }
  }

  @Test("normalization is close to float64", arguments: counts, Affine.allCases)
  func normalization(_ count: Int, _ affine: Affine) throws {
    let x = values("x", count).map { $0 + 2 }
    let (weight, shift) = (values("weight", count), values("shift", count))
    for statistics in [RowStatistics.meanAndVariance, .rootMeanSquare, .none] {
      let found = try normalized(statistics, x, weight: weight, shift: shift, affine)
      let mean =
        statistics == .meanAndVariance ? x.reduce(0.0) { $0 + Double($1) } / Double(count) : 0
      let squares = x.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
      let factor =
        statistics == .none ? 1 : 1 / (squares / Double(count) + Double(Float(1e-5))).squareRoot()
      for index in 0..<count {
        let normal = (Double(x[index]) - mean) * factor
        let exact =
          normal * (affine == .none ? 1 : 1 + Double(weight[index]))
          + (affine == .weightAndShift ? Double(shift[index]) : 0)
        // The mean of n values up to 5 is off by √n roundings of them at most; factor is below 320.
        let tolerance = 0x1p-23 * (8 * factor * Double(count).squareRoot() + 8 * abs(normal) + 8)
        #expect(abs(Double(found[index]) - exact) <= tolerance, "\(statistics) \(count) \(index)")
      }
    }
  }

  @Test("sums with and without gate, scaled rows and moments", arguments: counts)
  func others(_ count: Int) throws {
    let (base, gate, update) = (values("b", count), values("g", count), values("u", count))
    for isGated in [false, true] {
      let sum = try everySet(count) { kernels, result in
        base.withUnsafeBufferPointer { base in
          gate.withUnsafeBufferPointer { gate in
            update.withUnsafeBufferPointer { update in
              guard let first = base.baseAddress, let second = update.baseAddress else { return }
              var row = GatedSumRow(
                base: first, gate: isGated ? gate.baseAddress : nil, update: second,
                result: result, count: count)
              kernels.addGated(&row)
            }
          }
        }
      }
      #expect(sum == (0..<count).map { base[$0] + update[$0] * (isGated ? gate[$0] : 1) })
    }
    let scaled = base.map { $0 * 1.5 - 0.25 }
    for (isActivated, expected) in [(false, scaled), (true, try activated(.silu, scaled))] {
      let found = try everySet(count) { kernels, result in
        for (index, value) in base.enumerated() { result[index] = value }
        var row = ScaledRow(
          source: UnsafePointer(result), scale: 1.5, offset: -0.25, isActivated: isActivated,
          result: result, count: count)
        kernels.scale(&row)
      }
      #expect(found == expected)
    }
    var bits: Set<[UInt64]> = []
    for kernels in KernelSelection.available {
      let moments = base.withUnsafeBufferPointer { base in
        base.baseAddress.map { kernels.elementwise.moments($0, count) }
      }
      let found = try #require(moments)
      bits.insert([found.mean.bitPattern, found.deviations.bitPattern])
      let mean = base.reduce(0.0) { $0 + Double($1) } / Double(count)
      let deviations = base.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
      #expect(abs(found.mean - mean) <= 0x1p-22)
      #expect(abs(found.deviations - deviations) <= 0x1p-20 * Double(count))
    }
    #expect(bits.count == 1)
  }
}
