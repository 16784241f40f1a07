import ModelFiles
import StrictJSON

/// A hyper-parameter that tensor shapes do not show, and where it may be written.
///
/// Looked up in this order: metadata of the GGUF file, configuration file beside the weights,
/// command line flag, published model.
package struct Setting: Sendable {
  /// Keys of GGUF metadata, first match wins.
  let metadataKeys: [String]
  /// Key of the part's `config.json`.
  let configKey: String
  /// The command line flag, for messages.
  let flag: String?
  /// The value of the published AuraFlow model.
  let published: Double

  package static let headDimension = Setting(
    metadataKeys: ["aura.attention.key_length"], configKey: "attention_head_dim",
    flag: "--head-dimension", published: 256)
  package static let patchSize = Setting(
    metadataKeys: ["aura.patch_size"], configKey: "patch_size", flag: nil, published: 2)
  package static let normGroups = Setting(
    metadataKeys: ["aura.vae.norm_groups"], configKey: "norm_num_groups",
    flag: "--vae-norm-groups", published: 32)
  package static let scalingFactor = Setting(
    metadataKeys: ["aura.vae.scaling_factor"], configKey: "scaling_factor",
    flag: "--vae-scaling-factor", published: 0.13025)
  /// The same of a tiny autoencoder, which is trained on scaled latents.
  package static let tinyScalingFactor = Setting(
    metadataKeys: scalingFactor.metadataKeys, configKey: scalingFactor.configKey,
    flag: scalingFactor.flag, published: 1)
  package static let relativeMaxDistance = Setting(
    metadataKeys: ["aura.text_encoder.relative_max_distance"],
    configKey: "relative_attention_max_distance", flag: "--relative-max-distance", published: 128)
  package static let textEpsilon = Setting(
    metadataKeys: [
      "aura.text_encoder.layer_norm_epsilon", "t5encoder.attention.layer_norm_rms_epsilon",
      "t5.attention.layer_norm_rms_epsilon",
    ], configKey: "layer_norm_epsilon", flag: nil, published: 1e-6)
}

/// One part of a model with the configuration that was found beside it.
package struct PartSource {
  package let weights: ComponentWeights
  /// The part's `config.json`, where there is one.
  package let configuration: ConfigurationFile?
  let hints: ArchitectureHints

  /// Looks up a hyper-parameter.
  ///
  /// - Parameters:
  ///   - setting: what to look up.
  ///   - range: what is acceptable.
  /// - Returns: the value from the first place that has one.
  /// - Throws: `ModelFileError` if a file has it in another form or range, or if a flag
  ///   contradicts the files.
  package func value(
    _ setting: Setting, in range: ClosedRange<Double>
  ) throws(ModelFileError) -> Double {
    var stored = try metadataValue(setting, range)
    if stored == nil { stored = try configurationValue(setting, range) }
    guard let hint = hint(for: setting) else { return stored ?? setting.published }
    guard range.contains(hint) else {
      throw contradicted(setting, "\(hint) is outside of \(range)")
    }
    if let stored, stored != hint {
      throw contradicted(setting, "\(hint) contradicts the model's own value \(stored)")
    }
    return hint
  }

  /// Refuses a flag about something that this kind of part does not have.
  ///
  /// - Parameters:
  ///   - setting: what the flag would set.
  ///   - reason: why there is no such thing.
  /// - Throws: `ModelFileError` if the flag was given.
  package func refuseHint(_ setting: Setting, _ reason: String) throws(ModelFileError) {
    if hint(for: setting) != nil { throw contradicted(setting, "cannot apply: \(reason)") }
  }

  private func contradicted(_ setting: Setting, _ fault: String) -> ModelFileError {
    ModelFileError(
      path: weights.path, kind: .contradicted,
      fault: "\(setting.flag ?? setting.configKey) \(fault)")
  }

  /// Looks up a whole number.
  package func integer(
    _ setting: Setting, in range: ClosedRange<Int>
  ) throws(ModelFileError) -> Int {
    let value = try value(setting, in: Double(range.lowerBound)...Double(range.upperBound))
    guard let integer = Int(exactly: value) else {
      throw weights.malformed("\(setting.configKey) \(value) is not a whole number")
    }
    return integer
  }

  /// A whole number of the part's configuration file; nil if the file or the key is missing.
  ///
  /// - Parameters:
  ///   - key: the key in `config.json`.
  ///   - range: what is acceptable.
  /// - Returns: the number.
  /// - Throws: `ModelFileError` if the value is anything else.
  package func configured(
    _ key: String, in range: ClosedRange<Int>
  ) throws(ModelFileError) -> Int? {
    guard let configuration, let stored = configuration.json[key], !stored.isNull else {
      return nil
    }
    guard let value = stored.integerValue, range.contains(value) else {
      throw ModelFileError(
        path: configuration.path, kind: .malformed,
        fault: "'\(key)' is no whole number in \(range)")
    }
    return value
  }

  /// Refuses a configuration that asks for another variant than the one that is built in.
  ///
  /// - Parameters:
  ///   - key: the key in `config.json`.
  ///   - only: the value that is supported.
  /// - Throws: `ModelFileError` naming both values.
  package func requireConfigured(_ key: String, only: String) throws(ModelFileError) {
    guard let configuration, let stored = configuration.json[key], !stored.isNull,
      stored.stringValue != only
    else { return }
    throw ModelFileError(
      path: configuration.path, kind: .unsupported,
      fault: "'\(key)' is \(stored.text().prefix(60)), only \(only) is supported")
  }

  private func hint(for setting: Setting) -> Double? {
    switch setting.flag {
    case Setting.headDimension.flag: hints.headDimension.map(Double.init)
    case Setting.normGroups.flag: hints.normGroups.map(Double.init)
    case Setting.scalingFactor.flag: hints.scalingFactor
    case Setting.relativeMaxDistance.flag: hints.relativeMaxDistance.map(Double.init)
    default: nil
    }
  }

  private func metadataValue(
    _ setting: Setting, _ range: ClosedRange<Double>
  ) throws(ModelFileError) -> Double? {
    guard let gguf = weights.archive.gguf else { return nil }
    for key in setting.metadataKeys {
      guard let stored = gguf.value(for: key) else { continue }
      guard let value = stored.decimal, range.contains(value) else {
        throw weights.malformed("metadata '\(key)' is no number in \(range)")
      }
      return value
    }
    return nil
  }

  private func configurationValue(
    _ setting: Setting, _ range: ClosedRange<Double>
  ) throws(ModelFileError) -> Double? {
    guard let configuration, let stored = configuration.json[setting.configKey], !stored.isNull
    else { return nil }
    guard let value = stored.doubleValue, range.contains(value) else {
      throw ModelFileError(
        path: configuration.path, kind: .malformed,
        fault: "'\(setting.configKey)' is no number in \(range)")
    }
    return value
  }
}
