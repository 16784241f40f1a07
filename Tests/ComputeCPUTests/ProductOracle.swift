import Benchmarks
import BlockFormats
import Compute
import ComputeCPU
import KernelInterface
import Kernels
import Machine
import Testing

/// A product in float64 and how far a kernel may be from it.
struct Oracle {
  var value = 0.0
  var tolerance = 0.0

  /// - Parameters:
  ///   - x: one row of activations.
  ///   - weights: one row of the weight, decoded.
  ///   - spans: for each element, the magnitude of what multiplies its rounded activation.
  ///   - largest: the largest activation code, or nil if activations are not rounded.
  ///   - groupWidth: activations that are rounded together.
  init(
    x: ArraySlice<Float>, weights: ArraySlice<Float>, spans: ArraySlice<Float>, largest: Double?,
    groupWidth: Int
  ) {
    var magnitude = 0.0
    let offset = weights.startIndex - x.startIndex
    for start in stride(from: x.startIndex, to: x.endIndex, by: groupWidth) {
      let group = start..<min(x.endIndex, start + groupWidth)
      let peak = group.reduce(0.0) { max($0, Double(abs(x[$1]))) }
      for index in group {
        let (weight, span) = (weights[index + offset], spans[index + offset])
        value += Double(x[index]) * Double(weight)
        // Half a step of rounding, or a little more where the step itself was rounded.
        if let largest { tolerance += Double(span) * peak / largest * 0.5001 }
        magnitude += abs(Double(x[index])) * (Double(abs(weight)) + 2 * Double(span))
      }
    }
    // Each float32 operation rounds by 2⁻²⁴; there are at most a few for each element.
    tolerance += magnitude * 0x1p-24 * Double(x.count + 8) + 0x1p-126
  }
}

/// A stored weight with what oracles need to know of it.
struct StoredWeight {
  let type: ElementType
  let matrix: WeightMatrix
  /// `[outputs, columns]`.
  let decoded: [Float]
  /// The magnitude of `scale · centred code` for each element, `[outputs, columns]`.
  let spans: [Float]
  private let outputs, columns: Int

  init(_ blocks: RandomBlocks, outputs: Int, columns: Int) throws {
    let rowBytes = blocks.type.byteCount(elements: columns) ?? 0
    let bytes = (0..<outputs).flatMap { blocks.row($0, byteCount: rowBytes) }
    try self.init(
      blocks.type, bytes, matrix: blocks.matrix(rows: outputs, columns: columns), outputs: outputs,
      columns: columns)
  }

  /// A weight of given blocks: `bytes` are whole rows of them, `outputs` in all.
  init(_ type: ElementType, _ bytes: [UInt8], outputs: Int, columns: Int) throws {
    let storage = try FloatBuffer(count: (bytes.count + 3) / 4)
    UnsafeMutableRawBufferPointer(start: storage.pointer, count: bytes.count).copyBytes(from: bytes)
    let segment = WeightMatrix.Segment(
      storage: ResidentStorage(
        UnsafeRawPointer(storage.pointer), byteCount: bytes.count, owner: storage),
      type: type, rows: outputs)
    try self.init(
      type, bytes, matrix: WeightMatrix(segments: [segment], columns: columns), outputs: outputs,
      columns: columns)
  }

  private init(
    _ type: ElementType, _ bytes: [UInt8], matrix: WeightMatrix, outputs: Int, columns: Int
  ) throws {
    self.type = type
    self.matrix = matrix
    self.outputs = outputs
    self.columns = columns
    decoded = try matrix.decoded()
    spans = Self.spans(type, bytes, count: outputs * columns)
  }

  private static func spans(_ type: ElementType, _ bytes: [UInt8], count: Int) -> [Float] {
    guard let layout = type.codeLayout else { return [Float](repeating: 0, count: count) }
    var codes = [Int8](repeating: 0, count: count)
    var scales = [Float](repeating: 0, count: count / layout.groupWidth)
    var (minimums, starts) = (scales, [Int32](repeating: 0, count: scales.count))
    bytes.withUnsafeBytes { bytes in
      codes.withUnsafeMutableBytes { codes in
        guard let source = bytes.baseAddress, let codes = codes.baseAddress else { return }
        var arguments = UnpackedRow(
          type: type, source: source, blocks: count / type.elementsPerBlock, isWide: false,
          codes: codes, scales: &scales, minimums: &minimums, starts: &starts, stride: 1)
        KernelSelection.available[0].unpack(&arguments)
      }
    }
    return (0..<count).map { abs(scales[$0 / layout.groupWidth] * Float(codes[$0])) }
  }

  /// Compares the product with float64's.
  ///
  /// - Parameters:
  ///   - x: `[rows, columns]`.
  ///   - rows: of activations.
  ///   - checked: rows to compare; nil for all.
  ///   - roundsExactly: whether the rounded activations of `x` are what they stand for.
  ///   - floor: what results may be off beside that.
  ///   - device: threads, precision and kernels.
  /// - Returns: all results.
  /// - Throws: `ComputeError` if memory runs out.
  @discardableResult
  func check(
    _ x: [Float], rows: Int, checking checked: [Int]? = nil, roundsExactly: Bool = false,
    floor: Double = 0, on device: CPUDevice
  ) throws -> [Float] {
    let result = try Matrix(rows: rows, columns: outputs)
    try device.multiply(Matrix(x, rows: rows, columns: columns), by: matrix, into: result)
    let kind = ProductKind(type, device.activations, device.kernels)
    let steps: [ProductKind: Double] = [.int8: 127, .int8Blocks: 127, .int16: 32767]
    for row in checked ?? Array(0..<rows) {
      for output in 0..<outputs {
        let range = output * columns..<(output + 1) * columns
        let oracle = Oracle(
          x: x[row * columns..<(row + 1) * columns], weights: decoded[range], spans: spans[range],
          largest: roundsExactly ? nil : steps[kind],
          groupWidth: type.codeLayout.map(kind.scaleWidth) ?? 32)
        let found = Double(result.row(row)[output])
        #expect(
          abs(found - oracle.value) <= oracle.tolerance + floor,
          """
          \(type.name) \(device.kernels.name) \(device.activations) \(rows)x\(outputs)x\(columns) \
          [\(row), \(output)]: \(found), expected \(oracle.value)
          """)
      }
    }
    return result.values
  }
}

/// Numbers from -1 to 1.
func uniform(_ count: Int, seed: UInt64) -> [Float] {
  var state = seed
  return (0..<count).map { _ in
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(state >> 40) * 0x1p-23 - 1
  }
}
