import BlockFormats
import Conversion
import Foundation
import Machine
import StrictJSON

/// What is told of a conversion: before it, tensor by tensor; after it, sums and errors.
struct ConversionReport {
  /// Tensors that are named as the worst.
  private static let worstCount = 5

  private let plan: ConversionPlan
  private let input: String

  init(_ plan: ConversionPlan, input: String) {
    self.plan = plan
    self.input = input
  }

  // MARK: Before

  /// Prints what each tensor would become.
  func printPlan(asJSON: Bool) {
    var output = BufferedOutput()
    defer { output.flush() }
    guard !asJSON else {
      let tensors: [JSONValue] = plan.tensors.map(json)
      let report = JSONValue.object(
        [.init(key: "input", value: .path(input))] + sizes
          + [.init(key: "tensors", value: .array(tensors))])
      return output.write(report.text(indentation: 2) + "\n")
    }
    let rows = plan.tensors.map { tensor in
      [
        tensor.name.withoutControlCharacters,
        tensor.shape.map { "\($0)" }.joined(separator: "x"), tensor.source.type.name,
        tensor.type.name, "\(tensor.byteCount)",
        String(format: "%.2f", tensor.type.bitsPerElement), tensor.reason ?? "",
      ]
    }
    let titles = ["tensor", "shape", "from", "to", "bytes", "bits", ""]
    for line in Self.table([titles] + rows, rightAligned: [4, 5]) { output.write(line + "\n") }
    output.write("\n")
    for line in totals { output.write(line + "\n") }
    output.write(
      "\(formattedBytes(plan.byteCount)) from \(formattedBytes(plan.sourceByteCount)), "
        + String(format: "%.2f bits per weight\n", plan.bitsPerElement))
  }

  private func json(_ tensor: ConversionPlan.Tensor) -> JSONValue {
    var members: [JSONValue.Member] = [
      .init(key: "name", value: .string(tensor.name)),
      .init(key: "storedName", value: .string(tensor.source.storedName)),
    ]
    let storedNames = tensor.source.storedNames
    if storedNames.count > 1 {
      members.append(
        .init(key: "storedNames", value: .array(storedNames.map { .string($0) })))
    }
    members += [
      .init(key: "shape", value: .array(tensor.shape.map { .integer($0) })),
      .init(key: "from", value: .string(tensor.source.type.name)),
      .init(key: "to", value: .string(tensor.type.name)),
      .init(key: "bytes", value: .integer(tensor.byteCount)),
      .init(key: "reason", value: tensor.reason.map { .string($0) } ?? .null),
    ]
    return .object(members)
  }

  // MARK: After

  /// Prints sums and the worst errors.
  func printResult(
    _ outcomes: [TensorOutcome], output path: String, seconds: Double, asJSON: Bool
  ) {
    var output = BufferedOutput()
    defer { output.flush() }
    guard !asJSON else {
      return output.write(
        resultJSON(outcomes, path, seconds).text(indentation: 2) + "\n")
    }
    output.write(
      "\(path.withoutControlCharacters): \(formattedBytes(plan.byteCount)) from "
        + "\(formattedBytes(plan.sourceByteCount)), "
        + String(
          format: "%.2f bits per weight, %.1f s, %.0f MB/s\n", plan.bitsPerElement, seconds,
          Double(plan.sourceByteCount) / seconds / 1e6))
    for line in totals { output.write(line + "\n") }
    let worst = worst(outcomes)
    guard !worst.isEmpty else { return }
    output.write("largest relative errors:\n")
    let rows = worst.map { tensor in
      [
        "", String(format: "%.5f", tensor.relativeError ?? 0), tensor.type.name,
        tensor.name.withoutControlCharacters,
      ]
    }
    for line in Self.table(rows, rightAligned: []) { output.write(line + "\n") }
  }

  private func resultJSON(
    _ outcomes: [TensorOutcome], _ path: String, _ seconds: Double
  ) -> JSONValue {
    let tensors: [JSONValue] = outcomes.map { tensor in
      .object([
        .init(key: "name", value: .string(tensor.name)),
        .init(key: "from", value: .string(tensor.sourceType.name)),
        .init(key: "to", value: .string(tensor.type.name)),
        .init(key: "bytes", value: .integer(tensor.byteCount)),
        .init(
          key: "relativeError", value: tensor.relativeError.map { .double($0) } ?? .null),
        .init(key: "productError", value: tensor.productError.map { .double($0) } ?? .null),
        .init(key: "notFinite", value: .integer(tensor.notFiniteCount)),
      ])
    }
    return .object(
      [
        .init(key: "file", value: .path(path)), .init(key: "input", value: .path(input)),
        .init(key: "seconds", value: .double(seconds)),
      ] + sizes + [.init(key: "tensors", value: .array(tensors))])
  }

  /// The tensors with the largest errors, the worst first.
  private func worst(_ outcomes: [TensorOutcome]) -> [TensorOutcome] {
    let measured = outcomes.filter { ($0.relativeError ?? 0) > 0 }
    return Array(
      measured.sorted {
        ($0.relativeError ?? 0, $1.name) > ($1.relativeError ?? 0, $0.name)
      }.prefix(Self.worstCount))
  }

  // MARK: Sums

  private var sizes: [JSONValue.Member] {
    [
      .init(key: "bytes", value: .integer(plan.byteCount)),
      .init(key: "sourceBytes", value: .integer(plan.sourceByteCount)),
      .init(key: "bitsPerWeight", value: .double(plan.bitsPerElement)),
      .init(
        key: "types",
        value: .array(
          typeTotals.map { total in
            [
              "name": .string(total.type.name), "tensors": .integer(total.tensors),
              "elements": .integer(total.elements), "bytes": .integer(total.bytes),
            ]
          })),
    ]
  }

  private var totals: [String] {
    Self.table(
      typeTotals.map { total in
        [
          "", total.type.name, "\(total.tensors) tensors", "\(total.elements) weights",
          formattedBytes(total.bytes),
        ]
      }, rightAligned: [2, 3, 4])
  }

  /// Tensors, weights and bytes of each type, the largest first.
  private var typeTotals: [(type: ElementType, tensors: Int, elements: Int, bytes: Int)] {
    var totals: [(type: ElementType, tensors: Int, elements: Int, bytes: Int)] = []
    for tensor in plan.tensors {
      let index = totals.firstIndex { $0.type == tensor.type } ?? totals.count
      if index == totals.count { totals.append((tensor.type, 0, 0, 0)) }
      totals[index].tensors += 1
      totals[index].elements += tensor.elementCount
      totals[index].bytes += tensor.byteCount
    }
    return totals.sorted { $0.bytes > $1.bytes }
  }

  /// Rows as lines with aligned columns.
  private static func table(_ rows: [[String]], rightAligned: Set<Int>) -> [String] {
    let count = rows.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return rows.map { row in
      var line = ""
      for (column, text) in row.enumerated() {
        let space = String(repeating: " ", count: widths[column] - text.count)
        line += rightAligned.contains(column) ? space + text : text + space
        line += "  "
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}
