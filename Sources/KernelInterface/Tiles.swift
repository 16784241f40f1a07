import BlockFormats

/// Arguments of `KernelSet.multiplyFloats`: `result += activations · weightsᵀ`, each element
/// summed in order with fused multiply-adds where the CPU has them.
package struct FloatTile {
  /// `[width, rowTile]`.
  package var activations: UnsafePointer<Float>
  /// `[width, columnTile]`.
  package var weights: UnsafePointer<Float>
  /// Length of the sums.
  package var width: Int
  /// Rows that count. The kernel may write up to `rowTile`.
  package var rows: Int
  /// Columns that count. The kernel may compute and write up to `columnTile`.
  package var columns: Int
  /// `[rowTile, columnTile]`, added to.
  package var result: UnsafeMutablePointer<Float>
  /// Floats from one row of the result to the next.
  package var resultStride: Int

  package init(
    activations: UnsafePointer<Float>, weights: UnsafePointer<Float>, width: Int, rows: Int,
    columns: Int, result: UnsafeMutablePointer<Float>, resultStride: Int
  ) {
    self.activations = activations
    self.weights = weights
    self.width = width
    self.rows = rows
    self.columns = columns
    self.result = result
    self.resultStride = resultStride
  }
}

/// Arguments of `KernelSet.multiplyInt8` and `multiplyInt16`: for each group of `groupWidth`
/// elements, `result += (start + Σ activation code · weight code) · scale · activation scale`.
///
/// `multiplyInt8Blocks` sums the groups of each block of 256 times their integer scales before it
/// applies `scale · activation scale`, of which there is one a block.
package struct IntegerTile {
  /// `[width / 4, rowTile, 4]` of `UInt8`, each the quantized value plus 128, or
  /// `[width / 2, rowTile, 2]` of `Int16`.
  package var activations: UnsafeRawPointer
  /// `[groups, rowTile]`, or `[blocks, rowTile]`.
  package var activationScales: UnsafePointer<Float>
  /// `[width / 4, columnTile, 4]` of `Int8`, or `[width / 2, columnTile, 2]` of `Int16`.
  package var codes: UnsafeRawPointer
  /// `[groups, columnTile]`, or `[blocks, columnTile]`.
  package var scales: UnsafePointer<Float>
  /// `[groups, columnTile]` integer scales, each in both halves of a number. Read by
  /// `multiplyInt8Blocks` only.
  package var integerScales: UnsafePointer<Int32>
  /// `[groups, columnTile]`: −128 times the sum of the group's codes, which compensates the 128
  /// added to activations, in the form that `unpack` of the same kernels writes; or, for
  /// `multiplyInt8Blocks`, `[blocks, columnTile]` sums of these times their integer scales. Not
  /// read by `multiplyInt16`.
  package var starts: UnsafePointer<Int32>
  /// `width / groupWidth`.
  package var groups: Int
  /// 16 or 32.
  package var groupWidth: Int
  /// Rows that count. The kernel may write up to `rowTile`.
  package var rows: Int
  /// `[rowTile, columnTile]`, added to.
  package var result: UnsafeMutablePointer<Float>
  /// Floats from one row of the result to the next.
  package var resultStride: Int

  package init(
    activations: UnsafeRawPointer, activationScales: UnsafePointer<Float>, codes: UnsafeRawPointer,
    scales: UnsafePointer<Float>, integerScales: UnsafePointer<Int32>,
    starts: UnsafePointer<Int32>, groups: Int, groupWidth: Int, rows: Int,
    result: UnsafeMutablePointer<Float>, resultStride: Int
  ) {
    self.activations = activations
    self.activationScales = activationScales
    self.codes = codes
    self.scales = scales
    self.integerScales = integerScales
    self.starts = starts
    self.groups = groups
    self.groupWidth = groupWidth
    self.rows = rows
    self.result = result
    self.resultStride = resultStride
  }
}

/// Arguments of `KernelSet.transpose`.
package struct Transposition {
  /// `[rows, columns]` of 4-byte elements.
  package var source: UnsafeRawPointer
  /// Elements from one row of the source to the next.
  package var sourceStride: Int
  package var rows: Int
  package var columns: Int
  /// `[columns, rows]`.
  package var destination: UnsafeMutableRawPointer
  /// Elements from one row of the destination to the next.
  package var destinationStride: Int

  package init(
    source: UnsafeRawPointer, sourceStride: Int, rows: Int, columns: Int,
    destination: UnsafeMutableRawPointer, destinationStride: Int
  ) {
    self.source = source
    self.sourceStride = sourceStride
    self.rows = rows
    self.columns = columns
    self.destination = destination
    self.destinationStride = destinationStride
  }
}

/// Arguments of `KernelSet.unpack`: codes and scales of some blocks of a weight's row.
///
/// Codes of types with minimums are centred: their middle is subtracted from the codes and, times
/// the scale, added to the minimums. That halves the codes, and with them the error of quantized
/// activations.
package struct UnpackedRow {
  /// A type with blocks of codes.
  package var type: ElementType
  /// The first block.
  package var source: UnsafeRawPointer
  package var blocks: Int
  /// Whether codes are written as `Int16` instead of `Int8`.
  package var isWide: Bool
  /// Codes in the order of the elements.
  package var codes: UnsafeMutableRawPointer
  /// One scale a group, or the factor of each block where `integerScales` are wanted.
  package var scales: UnsafeMutablePointer<Float>
  /// One a group, the integer in both halves; nil for scales in float32.
  package var integerScales: UnsafeMutablePointer<Int32>?
  /// One minimum a group, for types that have them.
  package var minimums: UnsafeMutablePointer<Float>
  /// −128 times the sum of each group's codes, unless `isWide`; in one number, or in two of 16 bits
  /// if `multiplyInt8` sums in 16. With `integerScales` one number a block: the sum of its groups'
  /// times their scales.
  package var starts: UnsafeMutablePointer<Int32>
  /// Elements from one group's (or block's) scale, minimum and start to the next's.
  package var stride: Int

  package init(
    type: ElementType, source: UnsafeRawPointer, blocks: Int, isWide: Bool,
    codes: UnsafeMutableRawPointer, scales: UnsafeMutablePointer<Float>,
    integerScales: UnsafeMutablePointer<Int32>? = nil, minimums: UnsafeMutablePointer<Float>,
    starts: UnsafeMutablePointer<Int32>, stride: Int
  ) {
    self.type = type
    self.source = source
    self.blocks = blocks
    self.isWide = isWide
    self.codes = codes
    self.scales = scales
    self.integerScales = integerScales
    self.minimums = minimums
    self.starts = starts
    self.stride = stride
  }
}

/// Arguments of `KernelSet.roundToInt8` and `roundToInt16`: one row of activations to quantize,
/// with a scale for each group, or (`roundToInt8` only) for each block of 256.
///
/// A scale is NaN where one of its activations is not finite.
package struct RoundedRow {
  /// `[count]`.
  package var source: UnsafePointer<Float>
  /// A multiple of 32, and of `scaleWidth`.
  package var count: Int
  /// `UInt8`, the quantized value plus 128, or `Int16`.
  package var codes: UnsafeMutableRawPointer
  /// Elements that are summed together: 16 or 32, as in the weight.
  package var groupWidth: Int
  /// Elements that share a scale: `groupWidth` or 256.
  package var scaleWidth: Int
  /// One for each `scaleWidth` elements.
  package var scales: UnsafeMutablePointer<Float>
  /// Sums of each group's activations before quantization; nil if they are not needed.
  package var sums: UnsafeMutablePointer<Float>?
  /// Elements from one group's scale or sum to the next's.
  package var stride: Int

  package init(
    source: UnsafePointer<Float>, count: Int, codes: UnsafeMutableRawPointer,
    groupWidth: Int, scaleWidth: Int, scales: UnsafeMutablePointer<Float>,
    sums: UnsafeMutablePointer<Float>?, stride: Int
  ) {
    self.source = source
    self.count = count
    self.codes = codes
    self.groupWidth = groupWidth
    self.scaleWidth = scaleWidth
    self.scales = scales
    self.sums = sums
    self.stride = stride
  }
}
