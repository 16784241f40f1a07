import BlockFormats

/// Arguments of `KernelSet.roundRows`: float32 rows to quantize, and where their blocks go.
package struct RowsToRound {
  /// The type to quantize to: one of `ElementType.conversionTargets`.
  package var type: ElementType
  /// Whether to search longer for scales.
  package var isThorough: Bool
  /// `[rows, columns]`.
  package var values: UnsafePointer<Float>
  package var rows: Int
  /// A multiple of the type's `elementsPerBlock`.
  package var columns: Int
  /// `[columns]`: the importance of each column, which its squared error is multiplied by; finite
  /// and not negative. Nil if all columns count alike.
  package var importance: UnsafePointer<Float>?
  /// Memory for the rows' blocks, of any alignment.
  package var blocks: UnsafeMutableRawPointer
  /// `scratchBytes` of scratch memory, aligned to 32 bytes.
  package var scratch: UnsafeMutableRawPointer

  package init(
    type: ElementType, isThorough: Bool, values: UnsafePointer<Float>, rows: Int, columns: Int,
    importance: UnsafePointer<Float>?, blocks: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    self.type = type
    self.isThorough = isThorough
    self.values = values
    self.rows = rows
    self.columns = columns
    self.importance = importance
    self.blocks = blocks
    self.scratch = scratch
  }

  /// Bytes of scratch memory that `KernelSet.roundRows` needs: values and weights of 256 elements,
  /// and their codes.
  package static let scratchBytes = 16 << 10
}
