import BlockFormats

/// Arguments of `KernelSet.multiplyRow`: one row of quantized activations times some rows of a
/// weight, `result += weights · activations`, straight from the weight's blocks.
///
/// Sums follow the order of tiles: part by part of the columns, in each part first the minimums of
/// all groups, then the products of codes.
package struct RowProduct {
  /// A type with blocks of codes.
  package var type: ElementType
  /// The first output's first block.
  package var weights: UnsafeRawPointer
  /// Bytes from one output's row to the next's.
  package var rowBytes: Int
  package var outputs: Int
  /// Whole blocks.
  package var columns: Int
  /// Columns of a part, whole blocks; of the last one, what is left.
  package var partWidth: Int
  /// Whether activations share a scale in each block of 256, see `KernelSet.multiplyInt8Blocks`.
  package var sumsBlocks: Bool
  /// `[columns]`.
  package var activations: UnsafePointer<Int16>
  /// `[groups]`, or `[blocks]`.
  package var activationScales: UnsafePointer<Float>
  /// `[groups]` sums of the quantized activations; read for types with minimums only.
  package var codeSums: UnsafePointer<Int32>
  /// `[groups]` sums of the activations; read for types with minimums only.
  package var sums: UnsafePointer<Float>
  /// `[outputs]`, added to.
  package var result: UnsafeMutablePointer<Float>
  /// `scratchCount` floats, aligned to 32 bytes.
  package var scratch: UnsafeMutablePointer<Float>

  package init(
    type: ElementType, weights: UnsafeRawPointer, rowBytes: Int, outputs: Int, columns: Int,
    partWidth: Int, sumsBlocks: Bool, activations: UnsafePointer<Int16>,
    activationScales: UnsafePointer<Float>, codeSums: UnsafePointer<Int32>,
    sums: UnsafePointer<Float>, result: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    self.type = type
    self.weights = weights
    self.rowBytes = rowBytes
    self.outputs = outputs
    self.columns = columns
    self.partWidth = partWidth
    self.sumsBlocks = sumsBlocks
    self.activations = activations
    self.activationScales = activationScales
    self.codeSums = codeSums
    self.sums = sums
    self.result = result
    self.scratch = scratch
  }

  /// Groups are processed in runs of this many; arrays of groups are readable up to a whole run.
  package static let groupsPerRun = 16

  /// Floats of scratch memory that `KernelSet.multiplyRow` needs.
  package static func scratchCount(columns: Int) -> Int {
    // Codes, sums and factors of a run; products and minimums of four outputs.
    64 + 8 * groupsPerRun + 2 * groupsPerRun + 8 * (columns / 16 + groupsPerRun)
  }
}
