import Foundation
import TestSupport

/// Rows that `tools/reference/make_ggml_errors.py` makes with the same operations.
enum SeededRows {
  static let rows = 8
  static let columns = 512
  private static let count = rows * columns

  /// Values of a distribution, `[rows, columns]`; nil for an unknown name.
  static func values(_ name: String) -> [Float]? {
    let x = bell()
    let u = uniform("choice", count)
    switch name {
    case "bell": return x.map { $0 * 0.02 }
    case "uniform": return uniform("flat", count).map { $0 * 0.05 }
    case "laplace": return zip(x, u).map { $0 * $1.magnitude * 0.1 }
    case "heavy-tails": return zip(x, u).map { $0 / (0.02 + $1.magnitude) }
    case "outliers": return zip(x, u).map { $1 > 0.99 ? $0 * 30 : $0 }
    case "sparse": return zip(x, u).map { $1 > 0.8 ? $0 : 0 }
    case "constant":
      let constants = uniform("constants", rows)
      return (0..<count).map { constants[$0 / columns] }
    case "positive": return x.map(\.magnitude)
    case "shifted": return x.map { 1 + $0 * 0.1 }
    case "tiny": return x.map { $0 * 0x1p-20 }
    case "huge": return x.map { $0 * 0x1p12 }
    case "rows":
      return x.enumerated().map { index, value in
        value * Float(sign: .plus, exponent: 3 * (index / columns) - 14, significand: 1)
      }
    case "columns":
      let scales = uniform("columns", columns).map { 1 / (0.05 + $0.magnitude) }
      return x.enumerated().map { index, value in value * scales[index % columns] }
    default: return nil
    }
  }

  /// Weights of columns over three orders of magnitude.
  static func importance(columns: Int) -> [Float] {
    uniform("importance", columns).map { 1 / (0.01 + $0 * $0 * 4) }
  }

  static func uniform(_ name: String, _ count: Int) -> [Float] {
    SeededWeights.values("ggml/\(name)", count: count)
  }

  /// Sums of four uniform values.
  private static func bell() -> [Float] {
    let parts = (0..<4).map { uniform("bell-\($0)", count) }
    return (0..<count).map { ((parts[0][$0] + parts[1][$0]) + parts[2][$0]) + parts[3][$0] }
  }
}
