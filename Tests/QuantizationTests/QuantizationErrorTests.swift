import BlockFormats
import Foundation
import Quantization
import StrictJSON
import TestSupport
import Testing

/// The sum of weighted squared differences between rows and what their blocks decode to.
func squaredError(
  _ blocks: [UInt8], _ type: ElementType, rows: [Float], importance: [Float]?
) -> Double {
  var decoded = [Float](repeating: 0, count: rows.count)
  blocks.withUnsafeBytes { bytes in
    if let base = bytes.baseAddress { type.decode(base, count: rows.count, into: &decoded) }
  }
  return rows.indices.reduce(into: 0.0) { sum, index in
    let difference = Double(decoded[index]) - Double(rows[index])
    let weight = importance.map { Double($0[index % $0.count]) } ?? 1
    sum += difference * difference * weight
  }
}

@Suite struct QuantizationErrorTests {
  /// One set of rows, and what ggml's quantizers lose in it.
  struct Case: Sendable, CustomTestStringConvertible {
    let rows: String
    let columns: Int
    let isWeighted: Bool
    let errors: [(type: ElementType, error: Double)]

    var testDescription: String { "\(rows)\(isWeighted ? ", weighted" : "")" }
  }

  static let cases: [Case] = {
    guard let golden = try? Fixtures.json("ggml-errors/errors.json"),
      let cases = golden["cases"]?.arrayValue
    else { return [] }
    return cases.compactMap { item in
      guard let rows = item["rows"]?.stringValue, let columns = item["columns"]?.integerValue,
        let weighted = item["weighted"]?.boolValue
      else { return nil }
      let errors = BlockQuantizer.types.compactMap { type in
        (item["errors"]?[type.name]?.doubleValue).map { (type, $0) }
      }
      return Case(rows: rows, columns: columns, isWeighted: weighted, errors: errors)
    }
  }()

  @Test("Every case of the fixture is read")
  func casesAreThere() {
    #expect(Self.cases.count == 34)
    #expect(Self.cases.allSatisfy { $0.errors.count == ($0.isWeighted ? 11 : 7) })
  }

  @Test("No type loses more than with ggml's quantizers, at either quality", arguments: cases)
  func errorsAreAtMostGGMLs(_ item: Case) throws {
    let rows = try Self.values(item)
    let importance = item.isWeighted ? SeededRows.importance(columns: item.columns) : nil
    for (type, reference) in item.errors {
      let errors = try QuantizationQuality.allCases.map { quality in
        let blocks = try quantize(
          rows, columns: item.columns, as: type, quality: quality, importance: importance)
        return squaredError(blocks, type, rows: rows, importance: importance)
      }
      #expect(errors[0] <= reference, "\(type.name): \(errors[0] / reference) of ggml's")
      // Squares are summed in float32 in the search.
      #expect(errors[1] <= errors[0] * 1.0001, "\(type.name): best is worse than fast")
    }
  }

  private static func values(_ item: Case) throws -> [Float] {
    if let values = SeededRows.values(item.rows) { return values }
    let model = try Golden(
      path: Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path)
    return Array(try model.floats(item.rows).prefix(SeededRows.rows * item.columns))
  }

  /// Relative root mean square errors of normally distributed rows: what ggml's quantizers leave,
  /// and the spread of a sample of 64 · 1024 values.
  static let bounds: [(type: ElementType, error: Double)] = [
    (.q2_K, 0.293), (.q3_K, 0.152), (.q4_K, 0.0710), (.q5_K, 0.0362), (.q6_K, 0.0177),
    (.q4_0, 0.0860), (.q4_1, 0.0778), (.q5_0, 0.0427), (.q5_1, 0.0379), (.q8_0, 0.00533),
    (.iq4_nl, 0.0761), (.iq4_xs, 0.0767), (.f16, 0.000_25), (.bf16, 0.002), (.f32, 0),
  ]

  @Test("Normally distributed rows lose no more than each type's bound", arguments: bounds)
  func normalRowsAreWithinBounds(_ type: ElementType, _ bound: Double) throws {
    let uniform = SeededWeights.values("quantization/normal", count: 2 * 65536)
    // Box and Muller's.
    let rows = (0..<65536).map { index in
      let (a, b) = (Double(uniform[2 * index]), Double(uniform[2 * index + 1]))
      return Float((-2 * log(max((a + 1) / 2, 1e-9))).squareRoot() * cos(.pi * b))
    }
    let blocks = try quantize(rows, columns: 1024, as: type)
    let total = rows.reduce(0.0) { $0 + Double($1) * Double($1) }
    let error = (squaredError(blocks, type, rows: rows, importance: nil) / total).squareRoot()
    #expect(error <= bound * 1.01)
    // A bound that is never neared would show nothing.
    #expect(error >= bound * 0.5)
  }
}
