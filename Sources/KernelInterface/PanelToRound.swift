import BlockFormats

/// Arguments of `KernelSet.panels`: some columns of eight rows that are quantized with error
/// feedback.
///
/// With H = R Rᵀ for the second moments of the inputs, R upper triangular, errors e = w − q of a
/// row cost the sum of squares of e R. Columns have an order in which they are rounded. What is not
/// met in one is made up for in later ones: the code of column k is the one nearest to
/// t_k = w_k + (Σ_{j<k} e_j R_jk) / R_kk, and what is left of it costs R_kk² (t_k − q_k)².
///
/// Vectors of eight floats hold a column of the eight rows.
package struct PanelToRound {
  /// The type to quantize to: one of `ElementType.conversionTargets` that has blocks.
  package var type: ElementType
  /// Rows that there are, up to eight; the others are computed, but not written as blocks.
  package var rows: Int
  /// A super-block for types that have them, else up to eight blocks.
  package var columns: Int
  /// `[columns]` vectors, `stride` floats apart: the rows' values, in the order of rounding. Groups
  /// of columns that share a scale stay together, in their own order inside.
  package var values: UnsafePointer<Float>
  /// `[columns]` vectors, `stride` floats apart. For `round` Σ e_j R_jk of the columns before the
  /// panel; for `descend` e H, which it changes.
  package var pull: UnsafeMutablePointer<Float>
  /// `[columns]` vectors, `stride` floats apart. `round` writes the errors e there, `descend` what
  /// they became less by.
  package var errors: UnsafeMutablePointer<Float>
  /// `[columns]` vectors, `stride` floats apart: `round` writes R_kk (t_k − q_k) there.
  package var residuals: UnsafeMutablePointer<Float>
  package var stride: Int
  /// `[columns, columns]`, rows `matrixStride` apart: R of the panel for `round`, H for `descend`.
  package var matrix: UnsafePointer<Float>
  package var matrixStride: Int
  /// `[columns]`: 1 / R_kk.
  package var inverseDiagonal: UnsafePointer<Float>
  /// `[columns]`: R_kk², finite and not negative.
  package var importance: UnsafePointer<Float>
  /// The place of each group in its super-block, or of each block in its row, in the order of
  /// rounding.
  package var groups: UnsafePointer<Int32>
  /// `[columns, 8]`: the rows' codes, in the order of rounding.
  package var codes: UnsafeMutablePointer<UInt8>
  /// `recordFloats` floats: scales, as `round` finds and the others read them.
  package var record: UnsafeMutablePointer<Float>
  /// Whether `descend` changes scales too.
  package var descendsScales = false
  /// The super-block of the first row, or the beginning of that row's blocks.
  package var blocks: UnsafeMutableRawPointer
  /// Bytes from one row's blocks to the next one's.
  package var rowBytes: Int
  /// `scratchBytes` of scratch memory, aligned to 32 bytes.
  package var scratch: UnsafeMutableRawPointer

  package init(
    type: ElementType, rows: Int, columns: Int, values: UnsafePointer<Float>,
    pull: UnsafeMutablePointer<Float>, errors: UnsafeMutablePointer<Float>,
    residuals: UnsafeMutablePointer<Float>, stride: Int, matrix: UnsafePointer<Float>,
    matrixStride: Int, inverseDiagonal: UnsafePointer<Float>, importance: UnsafePointer<Float>,
    groups: UnsafePointer<Int32>, codes: UnsafeMutablePointer<UInt8>,
    record: UnsafeMutablePointer<Float>, blocks: UnsafeMutableRawPointer, rowBytes: Int,
    scratch: UnsafeMutableRawPointer
  ) {
    self.type = type
    self.rows = rows
    self.columns = columns
    self.values = values
    self.pull = pull
    self.errors = errors
    self.residuals = residuals
    self.stride = stride
    self.matrix = matrix
    self.matrixStride = matrixStride
    self.inverseDiagonal = inverseDiagonal
    self.importance = importance
    self.groups = groups
    self.codes = codes
    self.record = record
    self.blocks = blocks
    self.rowBytes = rowBytes
    self.scratch = scratch
  }

  /// Rows of a panel.
  package static let lanes = 8
  /// Columns of a panel, at most.
  package static let maximumColumns = 256
  /// Floats of a record: scale, offset and both integers of up to sixteen groups, and both scales
  /// of the super-block, for eight rows.
  package static let recordFloats = 8 * (4 * 16 + 2)
  /// Bytes of scratch memory that choosing scales needs: a search's, and copies of a row.
  package static let searchBytes = 8 << 10
  /// Bytes of scratch memory that the kernels need: a search's, and what scales multiply.
  package static let scratchBytes = searchBytes + 2 * maximumColumns * lanes * 4
}

/// Quantization of panels.
package struct PanelKernels: Sendable {
  /// Chooses scales and codes, with error feedback.
  package let round: @Sendable (UnsafePointer<PanelToRound>) -> Void
  /// Goes through the columns once more and takes for each the code that lets the rows' whole error
  /// be least, all others kept: a step of coordinate descent. Where it is asked for, scales follow.
  package let descend: @Sendable (UnsafePointer<PanelToRound>) -> Void
  /// Writes the rows' blocks.
  package let pack: @Sendable (UnsafePointer<PanelToRound>) -> Void

  package init(
    round: @escaping @Sendable (UnsafePointer<PanelToRound>) -> Void,
    descend: @escaping @Sendable (UnsafePointer<PanelToRound>) -> Void,
    pack: @escaping @Sendable (UnsafePointer<PanelToRound>) -> Void
  ) {
    self.round = round
    self.descend = descend
    self.pack = pack
  }
}
