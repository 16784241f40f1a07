import BlockFormats
import Compute
import KernelInterface
import Machine

/// A few rows of quantized activations in the order of their columns, for products that go straight
/// through a weight's blocks. See `RowProduct`.
struct RowActivations: @unchecked Sendable {
  private let columns: Int
  private let groupWidth: Int
  private let scaleWidth: Int
  /// Groups of a row, and a run beyond them.
  private let groups: Int
  /// Whether sums are wanted.
  private let hasMinimums: Bool
  private let codes: FloatBuffer
  private let scales: FloatBuffer
  private let sums: FloatBuffer
  private let codeSums: FloatBuffer

  /// Quantizes rows of `x`.
  ///
  /// - Parameters:
  ///   - x: `[rows, columns]`.
  ///   - kind: `.int8`, `.int8Blocks` or `.int16`.
  ///   - layout: the weight's.
  ///   - device: whose kernels and memory are used.
  /// - Throws: `ComputeError` if memory runs out.
  init(
    _ x: Matrix, kind: ProductKind, layout: CodeLayout, on device: CPUDevice
  ) throws(ComputeError) {
    columns = x.columns
    groupWidth = layout.groupWidth
    scaleWidth = kind.scaleWidth(layout)
    groups = x.columns / layout.groupWidth + RowProduct.groupsPerRun
    hasMinimums = layout.hasMinimums
    codes = try device.borrow(count: (x.rows * x.columns + 1) / 2)
    scales = try device.borrow(count: x.rows * groups)
    let sumCount = hasMinimums ? x.rows * groups : 0
    sums = try device.borrow(count: sumCount)
    codeSums = try device.borrow(count: sumCount)
    codeSums.pointer.update(repeating: 0, count: sumCount)
    for row in 0..<x.rows { round(x, row, kind, device.kernels) }
  }

  /// Gives the memory to the next product. Not to be used afterwards.
  func giveBack(to device: CPUDevice) {
    for buffer in [codes, scales, sums, codeSums] { device.giveBack(buffer) }
  }

  private func codes(_ row: Int) -> UnsafeMutablePointer<Int16> {
    UnsafeMutableRawPointer(codes.pointer).assumingMemoryBound(to: Int16.self) + row * columns
  }

  private func codeSums(_ row: Int) -> UnsafeMutablePointer<Int32> {
    UnsafeMutableRawPointer(codeSums.pointer).assumingMemoryBound(to: Int32.self) + row * groups
  }

  private func round(_ x: Matrix, _ row: Int, _ kind: ProductKind, _ kernels: KernelSet) {
    let codes = codes(row)
    var rounded = RoundedRow(
      source: x.row(row), count: columns, codes: codes, groupWidth: groupWidth,
      scaleWidth: scaleWidth, scales: scales.pointer + row * groups,
      sums: hasMinimums ? sums.pointer + row * groups : nil, stride: 1)
    if kind == .int16 {
      kernels.roundToInt16(&rounded)
    } else {
      kernels.roundToInt8(&rounded)
      // Bytes become words in place, from the last to the first.
      let bytes = UnsafeRawPointer(codes)
      for index in stride(from: columns - 1, through: 0, by: -1) {
        codes[index] = Int16(bytes.load(fromByteOffset: index, as: UInt8.self)) - 128
      }
    }
    guard hasMinimums else { return }
    let codeSums = codeSums(row)
    for group in 0..<columns / groupWidth {
      var sum: Int32 = 0
      for index in group * groupWidth..<(group + 1) * groupWidth { sum += Int32(codes[index]) }
      codeSums[group] = sum
    }
  }

  /// The arguments for one row and some outputs; `weights` and what follows are the caller's.
  func product(
    row: Int, with weights: UnsafeRawPointer, of segment: WeightMatrix.Segment, rowBytes: Int,
    outputs: Int, partWidth: Int, kind: ProductKind, into result: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) -> RowProduct {
    RowProduct(
      type: segment.type, weights: weights, rowBytes: rowBytes, outputs: outputs, columns: columns,
      partWidth: partWidth, sumsBlocks: kind == .int8Blocks, activations: codes(row),
      activationScales: scales.pointer + row * groups, codeSums: codeSums(row),
      sums: sums.pointer + row * groups, result: result, scratch: scratch)
  }
}
