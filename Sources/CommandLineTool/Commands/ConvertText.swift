import Conversion
import Foundation

/// Parts of the help text of `convert`.
enum ConvertText {
  static let types = names { $0.size == nil }
  static let mixes = names { $0.size != nil }

  static let presets = TypePreset.allCases.map { preset in
    let name = preset.rawValue.padding(toLength: 10, withPad: " ", startingAt: 0)
    return "  \(name) \(preset.summary)"
  }.joined(separator: "\n")

  private static func names(_ isListed: (TypeMix) -> Bool) -> String {
    TypeMix.all.filter(isListed).map(\.name).joined(separator: ", ")
  }
}
