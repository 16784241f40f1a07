import BlockFormats

/// What an adapter adds to some rows of a weight.
///
/// The weight itself stays as it is stored: products add a term (`multiplyUpdated`), and only who
/// asks for elements gets sums. All updates are meant for the stored weight, so their order does
/// not count.
package struct WeightUpdate: Sendable {
  /// What is added, `[rows.count, columns]`.
  package enum Term: Sendable {
    /// `up · down`, with `down` `[rank, columns]` and `up` `[rows, rank]`.
    case lowRank(down: WeightMatrix, up: WeightMatrix)
    /// A matrix of the same shape.
    case dense(WeightMatrix)
    /// Rows of a Kronecker product.
    case kronecker(KroneckerProduct)
    /// The weight's own rows, each times its factor.
    case rowFactors([Float])
    /// The weight's own columns, each times its factor; one for every column.
    case columnFactors([Float])
  }

  /// The weight's rows that change.
  package let rows: Range<Int>
  package let term: Term

  /// - Precondition: the term has as many rows.
  package init(rows: Range<Int>, _ term: Term) {
    self.rows = rows
    self.term = term
  }

  /// What is added to some of the weight's rows, counted from the first of them; nil for nothing.
  package func rows(_ range: Range<Int>) -> WeightUpdate? {
    let common = rows.clamped(to: range)
    guard !common.isEmpty else { return nil }
    let own = common.lowerBound - rows.lowerBound..<common.upperBound - rows.lowerBound
    let place = common.lowerBound - range.lowerBound..<common.upperBound - range.lowerBound
    if own == 0..<rows.count { return WeightUpdate(rows: place, term) }
    switch term {
    case .lowRank(let down, let up):
      return WeightUpdate(rows: place, .lowRank(down: down, up: up.rows(own)))
    case .dense(let matrix): return WeightUpdate(rows: place, .dense(matrix.rows(own)))
    case .kronecker(let product):
      return WeightUpdate(rows: place, .kronecker(product.rows(own)))
    case .rowFactors(let factors):
      return WeightUpdate(rows: place, .rowFactors(Array(factors[own])))
    case .columnFactors: return WeightUpdate(rows: place, term)
    }
  }

  /// The same for rows further down.
  package func moved(by offset: Int) -> WeightUpdate {
    WeightUpdate(rows: rows.lowerBound + offset..<rows.upperBound + offset, term)
  }

  /// Where its bytes come from.
  var storages: [any WeightStorage] {
    switch term {
    case .lowRank(let down, let up): (down.segments + up.segments).map(\.storage)
    case .dense(let matrix): matrix.segments.map(\.storage)
    case .kronecker(let product): product.right.segments.map(\.storage)
    case .rowFactors, .columnFactors: []
    }
  }
}

/// Consecutive rows of `left ⊗ right`: block (i, k) of `a · b` ones is `left[i, k] · right`.
package struct KroneckerProduct: Sendable {
  /// `[a, b]`, row by row.
  package let left: [Float]
  /// a.
  package let leftRows: Int
  /// b.
  package let leftColumns: Int
  /// `[c, d]`.
  package let right: WeightMatrix
  /// Which of the `a · c` rows.
  package let window: Range<Int>

  /// All rows of the product.
  package init(left: [Float], rows: Int, columns: Int, right: WeightMatrix) {
    precondition(left.count == rows * columns)
    self.init(left, rows, columns, right, window: 0..<rows * right.rows)
  }

  private init(
    _ left: [Float], _ rows: Int, _ columns: Int, _ right: WeightMatrix, window: Range<Int>
  ) {
    self.left = left
    leftRows = rows
    leftColumns = columns
    self.right = right
    self.window = window
  }

  /// Some of the rows.
  func rows(_ range: Range<Int>) -> KroneckerProduct {
    KroneckerProduct(
      left, leftRows, leftColumns, right,
      window: window.lowerBound + range.lowerBound..<window.lowerBound + range.upperBound)
  }
}

/// `target[·, o] += Σ_k left[i, k] · source[·, k · width + j]` for the outputs `o = i · width + j`
/// of a window.
package struct BlockMixture: Sendable {
  /// `[a, b]`, row by row.
  package let left: [Float]
  /// b.
  package let leftColumns: Int
  /// `[rows, b · width]`.
  package let source: Matrix
  package let width: Int
  /// Outputs that are wanted, of `a · width`; the target has as many columns.
  package let window: Range<Int>
}

// MARK: Elements

extension WeightUpdate {
  /// Adds updates to decoded elements.
  ///
  /// - Parameters:
  ///   - updates: of a weight.
  ///   - range: which of its elements, row by row.
  ///   - columns: of the weight.
  ///   - values: the stored elements, which become the updated ones.
  /// - Throws: `ComputeError` if bytes cannot be read any more.
  package static func apply(
    _ updates: [WeightUpdate], to range: Range<Int>, columns: Int,
    _ values: UnsafeMutablePointer<Float>
  ) throws(ComputeError) {
    guard !range.isEmpty, columns > 0 else { return }
    let rows = range.lowerBound / columns..<(range.upperBound + columns - 1) / columns
    let parts = updates.compactMap { $0.rows(rows) }
    guard !parts.isEmpty else { return }
    let place = ElementPlace(
      first: range.lowerBound - rows.lowerBound * columns, count: range.count, columns: columns)
    // Factors are meant for stored elements: they come before what is added.
    scale(values, place, by: parts)
    for part in parts { try part.add(to: values, place) }
  }

  /// Consecutive elements of some rows: those of each row, and where they are in memory.
  private struct ElementPlace {
    /// The first one's place in the rows.
    let first: Int
    let count: Int
    let columns: Int

    /// The columns of a row that are there, and the row's first column before the values.
    func row(_ row: Int) -> (columns: Range<Int>, offset: Int)? {
      let start = row * columns
      let range = max(first, start)..<min(first + count, start + columns)
      guard range.lowerBound < range.upperBound else { return nil }
      return (range.lowerBound - start..<range.upperBound - start, start - first)
    }
  }

  private static func scale(
    _ values: UnsafeMutablePointer<Float>, _ place: ElementPlace, by parts: [WeightUpdate]
  ) {
    let parts = parts.filter(\.isFactor)
    guard !parts.isEmpty else { return }
    let end = parts.reduce(0) { max($0, $1.rows.upperBound) }
    for row in 0..<end {
      guard let (columns, offset) = place.row(row) else { continue }
      let own = parts.filter { $0.rows.contains(row) }
      for column in columns {
        var sum: Float = 1
        for part in own { sum += part.factor(row: row, column: column) }
        values[offset + column] *= sum
      }
    }
  }

  private var isFactor: Bool {
    switch term {
    case .rowFactors, .columnFactors: true
    case .lowRank, .dense, .kronecker: false
    }
  }

  /// What a stored element is multiplied by and added; the row is one of the update's.
  private func factor(row: Int, column: Int) -> Float {
    switch term {
    case .rowFactors(let factors): factors[row - rows.lowerBound]
    case .columnFactors(let factors): factors[column]
    case .lowRank, .dense, .kronecker: 0
    }
  }

  /// Adds a row of factors times a matrix to a row, columns in registers, factor by factor.
  private static func add(
    _ factors: UnsafePointer<Float>, _ rank: Int, times inner: UnsafePointer<Float>, stride: Int,
    _ columns: Range<Int>, to target: UnsafeMutablePointer<Float>
  ) {
    var column = columns.lowerBound
    while column + 16 <= columns.upperBound {
      let place = UnsafeMutableRawPointer(target + column)
      var sum = place.loadUnaligned(as: SIMD16<Float>.self)
      for index in 0..<rank {
        let row = UnsafeRawPointer(inner + index * stride + column)
        sum += factors[index] * row.loadUnaligned(as: SIMD16<Float>.self)
      }
      place.storeBytes(of: sum, as: SIMD16<Float>.self)
      column += 16
    }
    while column < columns.upperBound {
      for index in 0..<rank { target[column] += factors[index] * inner[index * stride + column] }
      column += 1
    }
  }

  /// Adds the term to those of its elements that are there.
  private func add(
    to values: UnsafeMutablePointer<Float>, _ place: ElementPlace
  ) throws(ComputeError) {
    /// Calls `body` with each row of the term, its columns, and where its first column would be.
    func forEachRow(_ body: (Int, Range<Int>, UnsafeMutablePointer<Float>) -> Void) {
      for row in rows {
        guard let (columns, offset) = place.row(row) else { continue }
        body(row - rows.lowerBound, columns, values + offset)
      }
    }
    switch term {
    case .rowFactors, .columnFactors: break
    case .lowRank(let down, let up):
      let (inner, outer, rank) = (try down.decoded(), try up.decoded(), down.rows)
      inner.withUnsafeBufferPointer { inner in
        outer.withUnsafeBufferPointer { outer in
          guard let inner = inner.baseAddress, let outer = outer.baseAddress else { return }
          forEachRow { row, columns, target in
            Self.add(
              outer + row * rank, rank, times: inner, stride: place.columns, columns, to: target)
          }
        }
      }
    case .dense(let matrix):
      let added = try matrix.decoded()
      forEachRow { row, columns, target in
        for column in columns { target[column] += added[row * place.columns + column] }
      }
    case .kronecker(let product):
      let right = try product.right.decoded()
      let (height, width) = (product.right.rows, product.right.columns)
      forEachRow { row, columns, target in
        let output = product.window.lowerBound + row
        let (left, first) = (output / height * product.leftColumns, output % height * width)
        for column in columns {
          target[column] += product.left[left + column / width] * right[first + column % width]
        }
      }
    }
  }
}
