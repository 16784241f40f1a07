/// What this target does with a block format.
typealias FormatOperations = RowUnpacking & RowMultiplication & RowRounding
