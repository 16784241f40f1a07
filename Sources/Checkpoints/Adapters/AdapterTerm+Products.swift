import Compute
import Machine
import ModelFiles

/// Terms that are products of small matrices.
extension AdapterTerm {
  // MARK: LoRA

  /// `factor · up · down`; a convolution's `mid` between both is multiplied in.
  func lowRank(_ shape: (rows: Int, columns: Int)) throws(ModelFileError) -> WeightUpdate.Term {
    let (down, up) = (try record(.down), try record(.up))
    guard let rank = down.shape.first, rank > 0, down.elementCount > 0 else {
      throw misfit(down, expected: "[rank, \(shape.columns)]")
    }
    let factor = try file.factor(of: module, rank: rank)
    guard module.entries[.mid] != nil else {
      let first = try matrix(.down, rows: rank, columns: shape.columns)
      let second = try matrix(.up, rows: shape.rows, columns: rank)
      return .lowRank(down: first, up: second.scaled(by: factor))
    }
    // [rank', rank, height, width] between [rank, in] and [out, rank'].
    let mid = try record(.mid)
    let (inner, inputs) = (up.shape.dropFirst().first ?? 0, down.elementCount / rank)
    guard inner > 0, mid.shape.count >= 2, mid.shape[0] == inner, mid.shape[1] == rank,
      mid.elementCount / rank / inner * inputs == shape.columns
    else {
      throw misfit(
        mid, expected: "[\(inner), \(rank), …] that make \(shape.columns) columns of \(inputs)")
    }
    let area = mid.elementCount / rank / inner
    // Checked before anything of its rank is made.
    let second = try matrix(.up, rows: shape.rows, columns: inner)
    let taps = try values(matrix(.mid, rows: inner, columns: rank * area))
    let columns = try values(matrix(.down, rows: rank, columns: inputs))
    var joined = [Float](repeating: 0, count: inner * shape.columns)
    for outer in 0..<inner {
      for index in 0..<rank {
        for input in 0..<inputs {
          for tap in 0..<area {
            joined[(outer * inputs + input) * area + tap] +=
              taps[(outer * rank + index) * area + tap] * columns[index * inputs + input]
          }
        }
      }
    }
    return .lowRank(
      down: try resident(joined, rows: inner, columns: shape.columns),
      up: second.scaled(by: factor))
  }

  // MARK: LoHa

  /// `factor · (w1a · w1b) ⊙ (w2a · w2b)`: of rank r², or a matrix where that would be more.
  func hadamard(_ shape: (rows: Int, columns: Int)) throws(ModelFileError) -> WeightUpdate.Term {
    if module.entries[.hadaT1] != nil || module.entries[.hadaT2] != nil {
      return try tuckerHadamard(shape)
    }
    let ranks = (try rank(.hadaW1B), try rank(.hadaW2B))
    let factor = try file.factor(of: module, rank: ranks.0)
    let ups = (
      try values(matrix(.hadaW1A, rows: shape.rows, columns: ranks.0)),
      try values(matrix(.hadaW2A, rows: shape.rows, columns: ranks.1))
    )
    let downs = (
      try values(matrix(.hadaW1B, rows: ranks.0, columns: shape.columns)),
      try values(matrix(.hadaW2B, rows: ranks.1, columns: shape.columns))
    )
    let (rank, overflow) = ranks.0.multipliedReportingOverflow(by: ranks.1)
    guard !overflow, rank < min(shape.rows, shape.columns) else {
      var product = Self.product(ups.0, downs.0, ranks.0, shape)
      for (index, other) in Self.product(ups.1, downs.1, ranks.1, shape).enumerated() {
        product[index] *= factor * other
      }
      return .dense(try resident(product, rows: shape.rows, columns: shape.columns))
    }
    var (up, down): ([Float], [Float]) = ([], [])
    up.reserveCapacity(shape.rows * rank)
    down.reserveCapacity(rank * shape.columns)
    for row in 0..<shape.rows {
      for first in 0..<ranks.0 {
        for second in 0..<ranks.1 {
          up.append(ups.0[row * ranks.0 + first] * ups.1[row * ranks.1 + second])
        }
      }
    }
    for first in 0..<ranks.0 {
      for second in 0..<ranks.1 {
        for column in 0..<shape.columns {
          down.append(
            downs.0[first * shape.columns + column] * downs.1[second * shape.columns + column])
        }
      }
    }
    return .lowRank(
      down: try resident(down, rows: rank, columns: shape.columns),
      up: try resident(up, rows: shape.rows, columns: rank).scaled(by: factor))
  }

  /// LoHa of a convolution: of both, Σ t[i, j, ·] a[i, out] b[j, in].
  private func tuckerHadamard(
    _ shape: (rows: Int, columns: Int)
  ) throws(ModelFileError) -> WeightUpdate.Term {
    let factor = try file.factor(of: module, rank: rank(.hadaW1B))
    var product = try tucker(.hadaT1, .hadaW1A, .hadaW1B, shape)
    for (index, other) in try tucker(.hadaT2, .hadaW2A, .hadaW2B, shape).enumerated() {
      product[index] *= factor * other
    }
    return .dense(try resident(product, rows: shape.rows, columns: shape.columns))
  }

  /// Σ core[i, j, ·] left[i, p] right[j, q], `[p, q, ·]`.
  private func tucker(
    _ core: AdapterRole, _ left: AdapterRole, _ right: AdapterRole,
    _ shape: (rows: Int, columns: Int)
  ) throws(ModelFileError) -> [Float] {
    let ranks = (try rank(left), try rank(right))
    let record = try record(core)
    let inputs = try self.record(right).elementCount / ranks.1
    guard record.shape.count >= 2, record.shape[0] == ranks.0, record.shape[1] == ranks.1,
      inputs > 0, shape.columns.isMultiple(of: inputs),
      record.elementCount / ranks.0 / ranks.1 == shape.columns / inputs
    else {
      throw misfit(
        record, expected: "[\(ranks.0), \(ranks.1), …] that make \(shape.columns) columns")
    }
    let area = shape.columns / inputs
    let taps = try values(matrix(core, rows: ranks.0, columns: ranks.1 * area))
    let outer = try values(matrix(left, rows: ranks.0, columns: shape.rows))
    let inner = try values(matrix(right, rows: ranks.1, columns: inputs))
    // First over j, `[i, q, ·]`; then over i.
    var half = [Float](repeating: 0, count: ranks.0 * shape.columns)
    for i in 0..<ranks.0 {
      for j in 0..<ranks.1 {
        for input in 0..<inputs {
          for tap in 0..<area {
            half[(i * inputs + input) * area + tap] +=
              taps[(i * ranks.1 + j) * area + tap] * inner[j * inputs + input]
          }
        }
      }
    }
    var result = [Float](repeating: 0, count: shape.rows * shape.columns)
    for row in 0..<shape.rows {
      for i in 0..<ranks.0 {
        let factor = outer[i * shape.rows + row]
        for column in 0..<shape.columns {
          result[row * shape.columns + column] += factor * half[i * shape.columns + column]
        }
      }
    }
    return result
  }

  // MARK: LoKr

  /// `factor · w1 ⊗ w2`, of which either may be a product itself.
  func kronecker(_ shape: (rows: Int, columns: Int)) throws(ModelFileError) -> WeightUpdate.Term {
    let left = try kroneckerFactor(
      whole: .lokrW1, .lokrW1A, .lokrW1B, rows: nil, columns: nil, shape)
    guard shape.rows.isMultiple(of: left.rows), shape.columns.isMultiple(of: left.columns) else {
      throw misfit(
        try record(module.entries[.lokrW1] != nil ? .lokrW1 : .lokrW1A),
        expected: "one that divides [\(shape.rows), \(shape.columns)]")
    }
    let (rows, columns) = (shape.rows / left.rows, shape.columns / left.columns)
    var rank: Int?
    if module.entries[.lokrW2] == nil {
      rank = try self.rank(.lokrW2B)
    } else if module.entries[.lokrW1] == nil {
      rank = try self.rank(.lokrW1B)
    }
    let factor = try file.factor(of: module, rank: rank)
    let right: WeightMatrix
    if module.entries[.lokrT2] != nil {
      right = try resident(
        try tucker(.lokrT2, .lokrW2A, .lokrW2B, (rows, columns)), rows: rows, columns: columns)
    } else if module.entries[.lokrW2] != nil {
      right = try matrix(.lokrW2, rows: rows, columns: columns)
    } else {
      let found = try kroneckerFactor(
        whole: .lokrW2, .lokrW2A, .lokrW2B, rows: rows, columns: columns, shape)
      right = try resident(found.values, rows: rows, columns: columns)
    }
    return .kronecker(
      KroneckerProduct(
        left: left.values.map { factor * $0 }, rows: left.rows, columns: left.columns,
        right: right))
  }

  /// A factor that is stored as a whole, or as a product of two.
  private func kroneckerFactor(
    whole: AdapterRole, _ first: AdapterRole, _ second: AdapterRole, rows: Int?, columns: Int?,
    _ shape: (rows: Int, columns: Int)
  ) throws(ModelFileError) -> (values: [Float], rows: Int, columns: Int) {
    if module.entries[whole] != nil {
      let record = try record(whole)
      guard record.shape.count == 2, record.elementCount > 0 else {
        throw misfit(record, expected: "a matrix")
      }
      let (rows, columns) = (rows ?? record.shape[0], columns ?? record.shape[1])
      return (try values(matrix(whole, rows: rows, columns: columns)), rows, columns)
    }
    let rank = try rank(second)
    let (left, right) = (try record(first), try record(second))
    let height = rows ?? left.shape.first ?? 1
    let width = columns ?? right.elementCount / rank
    guard height <= shape.rows, width <= shape.columns else {
      throw misfit(left, expected: "at most [\(shape.rows), \(rank)]")
    }
    let product = Self.product(
      try values(matrix(first, rows: height, columns: rank)),
      try values(matrix(second, rows: rank, columns: width)), rank, (height, width))
    return (product, height, width)
  }

  // MARK: Small matrices

  /// The first dimension of a tensor, at least 1.
  private func rank(_ role: AdapterRole) throws(ModelFileError) -> Int {
    let record = try record(role)
    guard record.shape.count >= 2, let rank = record.shape.first, record.elementCount > 0 else {
      throw misfit(record, expected: "[rank, …]")
    }
    return rank
  }

  private static func product(
    _ left: [Float], _ right: [Float], _ rank: Int, _ shape: (rows: Int, columns: Int)
  ) -> [Float] {
    var result = [Float](repeating: 0, count: shape.rows * shape.columns)
    for row in 0..<shape.rows {
      for index in 0..<rank {
        let factor = left[row * rank + index]
        for column in 0..<shape.columns {
          result[row * shape.columns + column] += factor * right[index * shape.columns + column]
        }
      }
    }
    return result
  }

  /// Values that are made, as a weight that is always in memory.
  func resident(
    _ values: [Float], rows: Int, columns: Int
  ) throws(ModelFileError) -> WeightMatrix {
    do throws(ComputeError) {
      return try WeightMatrix(resident: values, rows: rows, columns: columns)
    } catch {
      throw ModelFileError(path: file.path, kind: .outOfMemory, fault: error.description)
    }
  }
}
