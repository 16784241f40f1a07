import ModelFiles
import StrictJSON

/// One part of a model with the configuration that was found beside it.
package struct PartSource {
  package let weights: StoredWeights
  /// The family that the part is opened for.
  package let family: FamilyDescription
  /// The part's `config.json`, where there is one.
  package let configuration: ConfigurationFile?
  let hints: ArchitectureHints

  /// The part's place in the family.
  package var slot: Slot { weights.slot }
  /// What is known of its network.
  package var network: NetworkDescription { weights.network }

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
    let setting = network.described(setting)
    var stored = try metadataValue(setting, range)
    if stored == nil { stored = try configurationValue(setting, range) }
    guard let hint = hints[key: setting.key] else { return stored ?? setting.published }
    guard range.contains(hint) else {
      throw contradicted(setting, "\(hint) is not in \(range)")
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
    if hints[key: setting.key] != nil { throw contradicted(setting, "cannot apply: \(reason)") }
  }

  private func contradicted(_ setting: Setting, _ fault: String) -> ModelFileError {
    ModelFileError(
      path: weights.path, kind: .contradicted,
      fault: "\(setting.nameForMessages) \(fault)")
  }

  /// What the family's published model has.
  package func published(_ setting: Setting) -> Double { network.described(setting).published }

  /// Looks up an integer.
  package func integer(
    _ setting: Setting, in range: ClosedRange<Int>
  ) throws(ModelFileError) -> Int {
    let value = try value(setting, in: Double(range.lowerBound)...Double(range.upperBound))
    guard let integer = Int(exactly: value) else {
      throw weights.malformed(
        "\(setting.configKey ?? setting.key) is \(value), but must be an integer")
    }
    return integer
  }

  /// An integer of the part's configuration file; nil if the file or the key is missing.
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
        fault: "'\(key)' must be an integer in \(range)")
    }
    return value
  }

  /// A list of integers of the part's configuration file; nil if the file or the key is missing.
  ///
  /// - Parameters:
  ///   - key: the key in `config.json`.
  ///   - count: how many there must be.
  ///   - range: what is acceptable.
  /// - Returns: the numbers.
  /// - Throws: `ModelFileError` if the value is anything else.
  package func configuredIntegers(
    _ key: String, count: Int, in range: ClosedRange<Int>
  ) throws(ModelFileError) -> [Int]? {
    guard let configuration, let stored = configuration.json[key], !stored.isNull else {
      return nil
    }
    let numbers = stored.arrayValue?.compactMap(\.integerValue).filter(range.contains) ?? []
    guard numbers.count == count, stored.arrayValue?.count == count else {
      throw ModelFileError(
        path: configuration.path, kind: .malformed,
        fault: "'\(key)' must be a list of \(count) integers in \(range)")
    }
    return numbers
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

  /// Refuses a configuration that contradicts the tensors about whether something is there.
  ///
  /// - Parameters:
  ///   - key: the key in `config.json`, whose value is true or false.
  ///   - tensor: one of them, by our name.
  ///   - found: whether they are there.
  /// - Throws: `ModelFileError` naming both.
  package func requireConfigured(
    _ key: String, tensor: String, found: Bool
  ) throws(ModelFileError) {
    guard let configuration, let stored = configuration.json[key], !stored.isNull else { return }
    guard let value = stored.boolValue else {
      throw ModelFileError(
        path: configuration.path, kind: .malformed, fault: "'\(key)' must be true or false")
    }
    guard value != found else { return }
    throw ModelFileError(
      path: configuration.path, kind: .malformed,
      fault: "'\(key)' is \(value), but \(weights.path) has \(found ? "a" : "no") tensor "
        + "'\(weights.storedName(tensor))': write \(found) if that is as it should be")
  }

  /// The key of the file's metadata that has a setting; nil if none has.
  package func metadataKey(_ setting: Setting) -> String? {
    guard let gguf = weights.archive.gguf else { return nil }
    return metadataKeys(setting).first { gguf.value(for: $0) != nil }
  }

  private func metadataKeys(_ setting: Setting) -> [String] {
    [family.metadataKey(of: setting, in: slot)].compactMap { $0 } + setting.otherMetadataKeys
  }

  private func metadataValue(
    _ setting: Setting, _ range: ClosedRange<Double>
  ) throws(ModelFileError) -> Double? {
    guard let gguf = weights.archive.gguf else { return nil }
    for key in metadataKeys(setting) {
      guard let stored = gguf.value(for: key) else { continue }
      guard let value = stored.decimal, range.contains(value) else {
        throw weights.malformed("metadata '\(key)' is not a number in \(range)")
      }
      return value
    }
    return nil
  }

  private func configurationValue(
    _ setting: Setting, _ range: ClosedRange<Double>
  ) throws(ModelFileError) -> Double? {
    guard let configuration, let key = setting.configKey,
      let stored = configuration.json[key], !stored.isNull
    else { return nil }
    guard let value = stored.doubleValue, range.contains(value) else {
      throw ModelFileError(
        path: configuration.path, kind: .malformed,
        fault: "'\(key)' is not a number in \(range)")
    }
    return value
  }
}
