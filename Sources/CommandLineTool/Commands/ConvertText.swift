import Conversion
import Foundation

/// Parts of the help text of `convert`.
enum ConvertText {
  static let types = lines(TypeMix.all.filter { $0.size == nil }.map(\.name))
  static let mixes = lines(TypeMix.all.filter { $0.size != nil }.map(\.name))

  static let presets = TypePreset.allCases.map { preset in
    let name = preset.rawValue.padding(toLength: 10, withPad: " ", startingAt: 0)
    return "  \(name) \(preset.summary)"
  }.joined(separator: "\n")

  /// Names on lines that no terminal breaks.
  private static func lines(_ names: [String]) -> String {
    stride(from: 0, to: names.count, by: 10).map { start in
      names[start..<min(names.count, start + 10)].joined(separator: ", ")
    }.joined(separator: ",\n  ")
  }
}
