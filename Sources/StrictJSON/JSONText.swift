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
    // Bytes, not characters: a text may be megabytes of what needs escapes.
    var result: [UInt8] = [UInt8(ascii: "\"")]
    result.reserveCapacity(text.utf8.count + 2)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result.append(contentsOf: "\\\"".utf8)
      case "\\": result.append(contentsOf: "\\\\".utf8)
      case "\n": result.append(contentsOf: "\\n".utf8)
      case "\r": result.append(contentsOf: "\\r".utf8)
      case "\t": result.append(contentsOf: "\\t".utf8)
      case " "..."~": result.append(UInt8(truncatingIfNeeded: scalar.value))
      default:
        if scalar.isInvisible {
          for unit in UTF16.encode(scalar) ?? .init() { append(unit, to: &result) }
        } else {
          result.append(contentsOf: UTF8.encode(scalar) ?? .init())
        }
      }
    }
    result.append(UInt8(ascii: "\""))
    return String(decoding: result, as: UTF8.self)
  }

  /// Appends `\uXXXX`.
  private static func append(_ unit: UInt16, to text: inout [UInt8]) {
    text.append(contentsOf: "\\u".utf8)
    for shift in [12, 8, 4, 0] as [UInt16] {
      let digit = UInt8(truncatingIfNeeded: unit >> shift & 0xF)
      text.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
    }
  }
}

extension Unicode.Scalar {
  /// Whether the character steers a terminal or the direction of text instead of showing itself.
  package var isInvisible: Bool {
    // Unicode's tables cost ten times as much as these comparisons, which settle most text.
    switch value {
    case 0x20...0x7E: return false
    case 0...0x9F: return true
    case 0xA0...0x5FF: return value == 0xAD
    case 0x2070...0xFEFE: return false
    default: break
    }
    return switch properties.generalCategory {
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
