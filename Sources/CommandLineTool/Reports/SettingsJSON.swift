import StrictJSON
import TextToImage

extension GenerationSettings {
  /// What reports and metadata both say of the settings.
  var commonMembers: [JSONValue.Member] {
    let guidance: [JSONValue.Member] =
      guidance.map { [.init(key: "guidance", value: .double($0))] } ?? []
    return [
      .init(key: "width", value: .integer(width)), .init(key: "height", value: .integer(height)),
      .init(key: "steps", value: .integer(steps)),
      .init(key: "guidanceScale", value: .double(guidanceScale)),
    ] + guidance + (strength.map { [.init(key: "strength", value: .double($0))] } ?? []) + [
      .init(key: "shift", value: .double(shift)),
      .init(key: "maxSequenceLength", value: .integer(maxSequenceLength)),
    ]
  }
}

extension JSONValue {
  /// A seed: a number, or a text where it is beyond what JSON readers keep.
  static func seed(_ seed: UInt64) -> JSONValue {
    Int(exactly: seed).map { .integer($0) } ?? .string("\(seed)")
  }
}
