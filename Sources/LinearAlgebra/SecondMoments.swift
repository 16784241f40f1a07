import COpenBLAS
import Machine

/// The second moments H = Σ xᵀx of the rows that enter a linear layer, `[columns, columns]`: what
/// an error e in a row of its weights costs is e H eᵀ.
///
/// Rows are added on one thread; only the lower triangle is kept.
package final class SecondMoments {
  package let columns: Int
  /// Rows that were added.
  package private(set) var rowCount = 0
  /// `[columns, columns]`; what is above the diagonal has no meaning.
  let sums: FloatBuffer
  private let library: OpenBLAS

  /// - Parameters:
  ///   - columns: of the rows.
  ///   - library: what to compute with.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(columns: Int, _ library: OpenBLAS) throws(ComputeError) {
    let (count, overflow) = columns.multipliedReportingOverflow(by: columns)
    guard !overflow, Int32(exactly: columns) != nil else {
      throw .outOfMemory(byteCount: .max)
    }
    self.columns = columns
    self.library = library
    sums = try FloatBuffer(count: count)
    sums.pointer.initialize(repeating: 0, count: count)
  }

  /// Adds rows.
  ///
  /// - Parameters:
  ///   - rows: `[count, columns]`.
  ///   - count: how many.
  package func add(_ rows: UnsafePointer<Float>, count: Int) {
    library.useOneThread()
    let n = blasint(truncatingIfNeeded: columns)
    library.multiplyBySelf(
      CblasRowMajor, CblasLower, CblasTrans, n, blasint(truncatingIfNeeded: count), 1, rows, n, 1,
      sums.pointer, n)
    rowCount += count
  }

  /// Σ x², column by column.
  package var diagonal: [Float] { (0..<columns).map { sums.pointer[$0 * (columns + 1)] } }

  /// Whether no sum is NaN or infinite: then no element of the matrix is either.
  package var isFinite: Bool { diagonal.allSatisfy(\.isFinite) }
}

/// Second moments in an order of their columns as R Rᵀ, where R is upper triangular: a Cholesky
/// factorization from the last column on.
///
/// It comes from the usual lower factor of the moments with rows and columns reversed. What an
/// error e costs is the sum of squares of e R.
package final class FactoredMoments: Sendable {
  package let columns: Int
  /// The columns of the moments in their new order.
  package let order: [Int32]
  /// The squares of R's diagonal: what an error costs in a column that all later ones make the best
  /// of.
  package let importance: [Float]
  /// One over R's diagonal.
  package let inverseDiagonal: [Float]
  /// What was added to the diagonal of the moments, relative to its mean.
  package let damping: Double
  private let matrix: FloatBuffer

  /// R, `[columns, columns]`; zero below the diagonal.
  package var factor: UnsafePointer<Float> { UnsafePointer(matrix.pointer) }

  /// Factors moments. Where they are too near to singular, more is added to the diagonal.
  ///
  /// - Parameters:
  ///   - moments: finite ones.
  ///   - order: the columns in their new order.
  ///   - damping: what to add to the diagonal, relative to its mean.
  ///   - library: what to compute with.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(
    _ moments: SecondMoments, order: [Int32], damping: Double, _ library: OpenBLAS
  ) throws(ComputeError) {
    columns = moments.columns
    self.order = order
    matrix = try FloatBuffer(count: columns * columns)
    library.useOneThread()
    let diagonal = moments.diagonal
    let mean = diagonal.reduce(0.0) { $0 + Double($1) } / Double(max(1, columns))
    var damping = damping
    while true {
      // Inputs that are all zero ask for nothing.
      let addition = mean > 0 ? Float(damping * mean) : 1
      Self.fill(matrix.pointer, moments, order, adding: addition)
      if Self.replaceByFactor(matrix.pointer, columns, library) { break }
      guard damping < 1e3 else {
        // Inputs whose sums are near the end of float32's range: columns by themselves.
        Self.fillDiagonal(matrix.pointer, moments, order)
        break
      }
      damping = max(10 * damping, 1e-6)
    }
    self.damping = damping
    Self.turn(matrix.pointer, columns)
    let roots = (0..<columns).map { [matrix, columns] in matrix.pointer[$0 * (columns + 1)] }
    importance = roots.map { $0 * $0 }
    inverseDiagonal = roots.map { 1 / $0 }
  }

  /// The lower triangle of the moments in reversed order.
  private static func fill(
    _ target: UnsafeMutablePointer<Float>, _ moments: SecondMoments, _ order: [Int32],
    adding addition: Float
  ) {
    let n = moments.columns
    let sums = moments.sums.pointer
    for row in 0..<n {
      let source = Int(order[n - 1 - row])
      for column in 0...row {
        let other = Int(order[n - 1 - column])
        target[row * n + column] = sums[max(source, other) * n + min(source, other)]
      }
      target[row * (n + 1)] += addition
    }
  }

  /// The roots of the diagonal alone, in reversed order.
  private static func fillDiagonal(
    _ target: UnsafeMutablePointer<Float>, _ moments: SecondMoments, _ order: [Int32]
  ) {
    let (n, diagonal) = (moments.columns, moments.diagonal)
    target.update(repeating: 0, count: n * n)
    for row in 0..<n {
      target[row * (n + 1)] = max(diagonal[Int(order[n - 1 - row])].squareRoot(), 1e-18)
    }
  }

  /// Replaces the lower triangle by its Cholesky factor.
  ///
  /// - Returns: whether there is one.
  private static func replaceByFactor(
    _ matrix: UnsafeMutablePointer<Float>, _ count: Int, _ library: OpenBLAS
  ) -> Bool {
    var n = blasint(truncatingIfNeeded: count)
    var stride = n
    var fault: blasint = 0
    // Columns of Fortran are our rows: its upper triangle is our lower one.
    "U".withCString { library.factor($0, &n, matrix, &stride, &fault, 1) }
    return fault == 0
  }

  /// Turns the factor around, so that it is an upper one.
  private static func turn(_ matrix: UnsafeMutablePointer<Float>, _ n: Int) {
    var (low, high) = (0, n * n - 1)
    while low < high {
      (matrix[low], matrix[high]) = (matrix[high], matrix[low])
      low += 1
      high -= 1
    }
    for row in 1..<max(1, n) { (matrix + row * n).update(repeating: 0, count: row) }
  }
}
