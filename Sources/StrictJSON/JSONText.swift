/// Writing JSON by hand, where the order of members matters.
package enum JSONText {
  /// A string literal with its quotes.
  ///
  /// Control, format and direction characters are escaped, so that the text is harmless on a
  /// terminal too.
  package static func quoted(_ text: String) -> String {
    let isPlain = text.utf8.allSatisfy {
      $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
    }
    if isPlain { return "\"" + text + "\"" }
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case " "..."~": result.unicodeScalars.append(scalar)
      default:
        if scalar.isInvisible {
          for unit in String(scalar).utf16 {
            let hex = String(unit, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
          }
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}

extension Unicode.Scalar {
  /// Whether the character steers a terminal or the direction of text instead of showing itself.
  package var isInvisible: Bool {
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }
}

extension JSONValue {
  /// The value as JSON text.
  ///
  /// - Parameter indentation: spaces per level; nil writes everything on one line.
  /// - Returns: valid JSON; numbers that are not finite become null.
  package func text(indentation: Int? = nil) -> String { text(indentation, level: 0) }

  private func text(_ indentation: Int?, level: Int) -> String {
    switch self {
    case .null: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .integer(let value): return "\(value)"
    case .double(let value): return value.isFinite ? "\(value)" : "null"
    case .string(let value): return JSONText.quoted(value)
    case .array(let values):
      return Self.list(
        values.map { $0.text(indentation, level: level + 1) }, "[", "]", indentation, level)
    case .object(let members):
      let separator = indentation == nil ? ":" : ": "
      return Self.list(
        members.map {
          JSONText.quoted($0.key) + separator + $0.value.text(indentation, level: level + 1)
        }, "{", "}", indentation, level)
    }
  }

  private static func list(
    _ items: [String], _ open: String, _ close: String, _ indentation: Int?, _ level: Int
  ) -> String {
    guard let indentation, !items.isEmpty else {
      return open + items.joined(separator: ",") + close
    }
    // Short lists of plain values, such as shapes, stay on one line.
    let plain = items.allSatisfy { !$0.hasPrefix("{") && !$0.hasPrefix("[") && !$0.contains(":") }
    if open == "[", plain, items.count <= 8 { return "[" + items.joined(separator: ", ") + "]" }
    let inner = String(repeating: " ", count: indentation * (level + 1))
    let outer = String(repeating: " ", count: indentation * level)
    return open + "\n" + items.map { inner + $0 }.joined(separator: ",\n") + "\n" + outer + close
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int) { self = .integer(value) }
  package init(floatLiteral value: Double) { self = .double(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(elements.map { Member(key: $0.0, value: $0.1) })
  }
}
