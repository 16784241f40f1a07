import BlockFormats

/// Arguments of `KernelSet.roundPanel`: some columns of eight rows to quantize with error feedback.
///
/// Columns have an order in which they are rounded. What is not met in one is made up for in later
/// ones, as far as the inputs of the product allow it: with their second moments H = M D Mᵀ, where
/// M is a unit upper triangular matrix and D is diagonal, the code of column k is the one nearest to
/// t_k = w_k + Σ_{j<k} E_j M_jk, where E = w − q, and an error that is left in it costs D_k.
///
/// Vectors of eight floats hold a column of the eight rows.
package struct PanelToRound {
  /// The type to quantize to: one of `ElementType.conversionTargets` that has blocks.
  package var type: ElementType
  /// Rows that there are, up to eight; the others are read, but not written as blocks.
  package var rows: Int
  /// A super-block for types that have them, else up to eight blocks.
  package var columns: Int
  /// `[columns]` vectors, `stride` floats apart: the rows' values, in the order of rounding. Groups
  /// of columns that share a scale stay together, in their own order inside.
  package var values: UnsafePointer<Float>
  /// `[columns]` vectors, `stride` floats apart: what the errors of columns before the panel add.
  package var carried: UnsafePointer<Float>
  /// `[columns]` vectors, `stride` floats apart: receives the errors.
  package var errors: UnsafeMutablePointer<Float>
  package var stride: Int
  /// `[columns, columns]`, rows `couplingStride` apart: M of the panel; what is above its diagonal
  /// is read.
  package var coupling: UnsafePointer<Float>
  package var couplingStride: Int
  /// `[columns]`: D, in the order of rounding; finite and not negative.
  package var importance: UnsafePointer<Float>
  /// The place of each group in its super-block, or of each block in its row, in the order of
  /// rounding.
  package var groups: UnsafePointer<Int32>
  /// The super-block of the first row, or the beginning of that row's blocks.
  package var blocks: UnsafeMutableRawPointer
  /// Bytes from one row's blocks to the next one's.
  package var rowBytes: Int
  /// `scratchBytes` of scratch memory, aligned to 32 bytes.
  package var scratch: UnsafeMutableRawPointer

  package init(
    type: ElementType, rows: Int, columns: Int, values: UnsafePointer<Float>,
    carried: UnsafePointer<Float>, errors: UnsafeMutablePointer<Float>, stride: Int,
    coupling: UnsafePointer<Float>, couplingStride: Int, importance: UnsafePointer<Float>,
    groups: UnsafePointer<Int32>, blocks: UnsafeMutableRawPointer, rowBytes: Int,
    scratch: UnsafeMutableRawPointer
  ) {
    self.type = type
    self.rows = rows
    self.columns = columns
    self.values = values
    self.carried = carried
    self.errors = errors
    self.stride = stride
    self.coupling = coupling
    self.couplingStride = couplingStride
    self.importance = importance
    self.groups = groups
    self.blocks = blocks
    self.rowBytes = rowBytes
    self.scratch = scratch
  }

  /// Rows of a panel.
  package static let lanes = 8
  /// Columns of a panel, at most.
  package static let maximumColumns = 256
  /// Bytes of scratch memory that `KernelSet.roundPanel` needs: a search's, codes of eight rows,
  /// and their groups' numbers.
  package static let scratchBytes = 16 << 10
}
