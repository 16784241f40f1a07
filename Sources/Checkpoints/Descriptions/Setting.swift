import ModelFiles

/// A hyper-parameter that tensor shapes do not show, and where it may be written.
///
/// Looked up in this order: metadata of the GGUF file, configuration file beside the weights,
/// command line flag, published model.
package struct Setting: Sendable {
  /// The name under which hints and families give values: one for each setting of a family, so that
  /// a hint reaches the network that it is meant for.
  package let key: String
  /// Key of GGUF metadata behind the family's prefix, such as `vae.norm_groups`; nil for none.
  package let metadataName: String?
  /// Other keys of GGUF metadata, which come after it.
  package let otherMetadataKeys: [String]
  /// Key of the part's `config.json`; nil for none.
  package let configKey: String?
  /// The command line flag, for messages.
  package let flag: String?
  /// The value of the published model.
  package let published: Double

  package init(
    _ key: String, metadata metadataName: String? = nil, otherMetadataKeys: [String] = [],
    config configKey: String? = nil, flag: String? = nil, published: Double
  ) {
    self.key = key
    self.metadataName = metadataName
    self.otherMetadataKeys = otherMetadataKeys
    self.configKey = configKey
    self.flag = flag
    self.published = published
  }

  /// The same with the value that a family's model has.
  func publishing(_ value: Double) -> Setting {
    Setting(
      key, metadata: metadataName, otherMetadataKeys: otherMetadataKeys, config: configKey,
      flag: flag, published: value)
  }

  /// What the user calls it.
  var nameForMessages: String { flag ?? configKey ?? key }
}

/// A setting with its value in one model.
package struct SettingValue: Sendable {
  package let setting: Setting
  /// The number.
  package let value: Double
  /// Whether it is a count, which files keep as an integer.
  private let isInteger: Bool

  /// A count.
  package init(_ setting: Setting, _ value: Int) {
    self.setting = setting
    self.value = Double(value)
    isInteger = true
  }

  /// Any number.
  package init(_ setting: Setting, _ value: Double) {
    self.setting = setting
    self.value = value
    isInteger = false
  }

  /// As GGUF metadata have it.
  package var metadataValue: GGUFWriter.Value {
    isInteger ? .uint32(UInt32(clamping: Int(exactly: value) ?? 0)) : .float32(Float(value))
  }

  /// As a command line flag has it.
  package var text: String { isInteger ? "\(Int(exactly: value) ?? 0)" : "\(value)" }
}
