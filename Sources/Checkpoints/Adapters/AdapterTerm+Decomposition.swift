import Compute
import Foundation
import Machine
import ModelFiles
import Synchronization

/// DoRA: the updated weight's rows, or columns, brought to lengths of the adapter's own.
///
/// With V = W + scale · B A, the weight becomes W + strength · (m / ‖V‖ · V − W), as ComfyUI has
/// it: of three rules in use the only one that does nothing at a strength of 0. At 1 all are the
/// same.
/// The length is V's also where newer versions of ComfyUI take W's, as LyCORIS and PEFT do.
extension AdapterTerm {
  /// Elements of a weight that are decoded at once: enough rows to spread the cost of decoding an
  /// adapter's factors for them.
  private static let chunkElements = 1 << 20
  /// Added to lengths, so that none is 0; float32's distance from 1 to the next number.
  private static let epsilon = Double(Float.ulpOfOne)

  /// The updates that take the place of some additions.
  ///
  /// - Parameters:
  ///   - additions: at a strength of 1.
  ///   - base: the stored weight's rows that the module is.
  /// - Returns: updates at the user's strength.
  /// - Throws: `ModelFileError` for magnitudes of another count, or if the weight cannot be read.
  func decomposed(
    _ additions: [WeightUpdate], _ base: WeightMatrix
  ) throws(ModelFileError) -> [WeightUpdate] {
    let record = try record(.magnitude)
    let isByRow = record.shape.first == base.rows && (base.rows != 1 || base.columns != 1)
    let magnitudes = try values(.magnitude, count: isByRow ? base.rows : base.columns)
    if file.strength == 0 { return [] }
    let lengths = try lengths(of: base.updated(by: additions), byRow: isByRow)
    let (strength, rows) = (file.strength, 0..<base.rows)
    let factors = zip(magnitudes, lengths).map { Float(Double($0) / ($1 + Self.epsilon)) }
    let own = factors.map { strength * ($0 - 1) }
    var updates = [WeightUpdate(rows: rows, isByRow ? .rowFactors(own) : .columnFactors(own))]
    for addition in additions {
      switch addition.term {
      case .lowRank(let down, let up) where isByRow:
        let scaled = up.scaled(byRows: factors.map { strength * $0 })
        updates.append(WeightUpdate(rows: rows, .lowRank(down: down, up: scaled)))
      case .lowRank(let down, let up):
        var values = try values(down)
        for index in values.indices { values[index] *= factors[index % base.columns] }
        updates.append(
          WeightUpdate(
            rows: rows,
            .lowRank(
              down: try resident(values, rows: down.rows, columns: base.columns),
              up: up.scaled(by: strength))))
      default:
        updates.append(try scaledMatrix(addition, base, factors, byRow: isByRow))
      }
    }
    return updates
  }

  /// An addition of another kind as a matrix with rows or columns times factors.
  private func scaledMatrix(
    _ addition: WeightUpdate, _ base: WeightMatrix, _ factors: [Float], byRow: Bool
  ) throws(ModelFileError) -> WeightUpdate {
    let nothing = try resident(
      [Float](repeating: 0, count: base.rows * base.columns), rows: base.rows,
      columns: base.columns)
    var values = try values(nothing.updated(by: [addition]))
    for index in values.indices {
      values[index] *=
        file.strength * factors[byRow ? index / base.columns : index % base.columns]
    }
    return WeightUpdate(
      rows: 0..<base.rows, .dense(try resident(values, rows: base.rows, columns: base.columns)))
  }

  /// Sums of the squares of rows, or of columns.
  private static func squares(_ values: [Float], columns: Int, byRow: Bool) -> [Double] {
    guard columns > 0 else { return [] }
    let rows = values.count / columns
    var sums = [Double](repeating: 0, count: byRow ? rows : columns)
    values.withUnsafeBufferPointer { values in
      sums.withUnsafeMutableBufferPointer { sums in
        for row in 0..<rows {
          let first = row * columns
          guard byRow else {
            for column in 0..<columns {
              let value = Double(values[first + column])
              sums[column] += value * value
            }
            continue
          }
          // Eight sums at once: each waits for itself alone.
          var parts = SIMD8<Double>()
          var column = 0
          while column + 8 <= columns {
            let place = first + column
            let eight = SIMD8<Float>(
              values[place], values[place + 1], values[place + 2], values[place + 3],
              values[place + 4], values[place + 5], values[place + 6], values[place + 7])
            let wide = SIMD8<Double>(eight)
            parts += wide * wide
            column += 8
          }
          var sum = parts.sum()
          while column < columns {
            let value = Double(values[first + column])
            sum += value * value
            column += 1
          }
          sums[row] = sum
        }
      }
    }
    return sums
  }

  /// The Euclidean lengths of a weight's rows or columns.
  private func lengths(
    of weight: WeightMatrix, byRow: Bool
  ) throws(ModelFileError) -> [Double] {
    let columns = weight.columns
    let chunkRows = max(1, Self.chunkElements / max(1, columns))
    let chunks = (weight.rows + chunkRows - 1) / chunkRows
    let squares = Mutex<[Int: [Double]]>([:])
    let fault = Mutex<ComputeError?>(nil)
    DispatchQueue.concurrentPerform(iterations: chunks) { chunk in
      let range = chunk * chunkRows..<min(weight.rows, (chunk + 1) * chunkRows)
      do throws(ComputeError) {
        let values = try weight.rows(range).decoded()
        let sums = Self.squares(values, columns: columns, byRow: byRow)
        squares.withLock { $0[chunk] = sums }
      } catch {
        fault.withLock { $0 = $0 ?? error }
      }
    }
    if let fault = fault.withLock({ $0 }) {
      guard case .unreadable(let path, let text) = fault else {
        throw ModelFileError(path: file.path, kind: .outOfMemory, fault: fault.description)
      }
      throw ModelFileError(path: path, kind: .unreadable, fault: text)
    }
    // Chunk by chunk: sums must not depend on which thread was first.
    let found = squares.withLock { squares in (0..<chunks).map { squares[$0] ?? [] } }
    guard !byRow else { return found.flatMap { $0 }.map { $0.squareRoot() } }
    var sums = [Double](repeating: 0, count: columns)
    for chunk in found { for (column, square) in chunk.enumerated() { sums[column] += square } }
    return sums.map { $0.squareRoot() }
  }
}
