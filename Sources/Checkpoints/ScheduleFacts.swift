import ModelFiles
import StrictJSON

/// The noise schedule that a model's files ask for: a scheduler's configuration, metadata of a GGUF
/// file, or else what is published.
package struct ScheduleFacts: Sendable {
  package private(set) var shift: LevelShift
  /// Factor between noise levels and training times.
  package private(set) var trainTimesteps: Int

  /// - Parameters:
  ///   - scheduler: `scheduler_config.json`; nil where there is none.
  ///   - gguf: a file whose metadata may tell; nil for none.
  ///   - family: the family of the model.
  ///   - published: what counts where no file tells.
  /// - Throws: `ModelFileError` if a value is of the wrong kind, or the shift depends on size
  ///   though the family's does not.
  package init(
    _ scheduler: ConfigurationFile?, _ gguf: GGUFFile?, of family: FamilyDescription,
    published: SamplingDefaults
  ) throws(ModelFileError) {
    shift = published.shift
    trainTimesteps = published.trainTimesteps
    if let gguf { try read(gguf, family.metadata) }
    if let scheduler {
      try Self.check(scheduler, family)
      try read(scheduler)
    }
  }

  // MARK: GGUF

  private mutating func read(
    _ gguf: GGUFFile, _ keys: MetadataKeys
  ) throws(ModelFileError) {
    func number(_ key: String, _ range: ClosedRange<Double>) throws(ModelFileError) -> Double? {
      try gguf.number(key, in: range)
    }
    if let fixed = try number(keys.shift, 1e-3...1e3) { shift = .fixed(fixed) }
    var rule = Self.usual
    let (base, maximum) = (
      try number(keys.baseShift, -7...7), try number(keys.maximumShift, -7...7)
    )
    if let base { rule.base = base }
    if let maximum { rule.maximum = maximum }
    if let tokens = try number(keys.baseTokens, 1...1e6) { rule.baseTokens = Int(tokens) }
    if let tokens = try number(keys.maximumTokens, 1...1e6) { rule.maximumTokens = Int(tokens) }
    if base != nil || maximum != nil {
      guard rule.maximumTokens != rule.baseTokens else {
        throw ModelFileError(
          path: gguf.file.path, kind: .malformed,
          fault: "metadata '\(keys.baseTokens)' and '\(keys.maximumTokens)' are the same")
      }
      shift = .dynamic(rule)
    }
    if let count = try number(keys.trainTimesteps, 1...1e6) { trainTimesteps = Int(count) }
  }

  // MARK: Scheduler

  /// diffusers' values where a configuration asks for a shift that depends on size and says no
  /// more.
  private static let usual = DynamicShift(
    base: 0.5, maximum: 1.15, baseTokens: 256, maximumTokens: 4096)

  private static func check(
    _ file: ConfigurationFile, _ family: FamilyDescription
  ) throws(ModelFileError) {
    guard !family.hasDynamicShift, let stored = file.json["use_dynamic_shifting"], !stored.isNull,
      stored.boolValue != false
    else { return }
    throw ModelFileError(
      path: file.path, kind: .unsupported,
      fault: "'use_dynamic_shifting' is \(stored.text().prefix(60)), but \(family.modelPhrase) has "
        + "one shift for all sizes: set it to false and 'shift' to the wanted one")
  }

  private mutating func read(_ file: ConfigurationFile) throws(ModelFileError) {
    func fail(_ fault: String) -> ModelFileError {
      ModelFileError(path: file.path, kind: .malformed, fault: fault)
    }
    func number(
      _ key: String, _ range: ClosedRange<Double>, _ words: String
    ) throws(ModelFileError) -> Double? {
      guard let stored = file.json[key], !stored.isNull else { return nil }
      guard let value = stored.doubleValue, range.contains(value) else {
        throw fail("'\(key)' is not a number in \(words)")
      }
      return value
    }
    func count(_ key: String) throws(ModelFileError) -> Int? {
      guard let stored = file.json[key] else { return nil }
      guard let count = stored.integerValue, (1...1_000_000).contains(count) else {
        throw fail("'\(key)' is not an integer in 1...1000000")
      }
      return count
    }
    /// The class's own; the other one has to be a number too.
    func fixedShift() throws(ModelFileError) -> Double? {
      var found: Double?
      for key in ["shift", "flow_shift"] {
        let value = try number(key, 1e-3...1e3, "0.001...1000")
        if key == Self.shiftKey(file) { found = value }
      }
      return found
    }
    if file.json["use_dynamic_shifting"]?.boolValue == true {
      var rule = DynamicShift(
        base: try number("base_shift", -7...7, "-7...7") ?? Self.usual.base,
        maximum: try number("max_shift", -7...7, "-7...7") ?? Self.usual.maximum,
        baseTokens: try count("base_image_seq_len") ?? Self.usual.baseTokens,
        maximumTokens: try count("max_image_seq_len") ?? Self.usual.maximumTokens)
      guard rule.maximumTokens != rule.baseTokens else {
        throw fail("'base_image_seq_len' and 'max_image_seq_len' are the same")
      }
      try readKind(file, &rule)
      shift = .dynamic(rule)
    } else if let fixed = try fixedShift() {
      shift = .fixed(fixed)
    } else if file.json["use_flow_sigmas"]?.boolValue == true {
      // What solvers take where nothing is said.
      shift = .fixed(1)
    }
    if let count = try count("num_train_timesteps") { trainTimesteps = count }
  }

  /// The option that holds a fixed shift. Configurations keep what other classes call it, which
  /// does not count.
  package static func shiftKey(_ file: ConfigurationFile) -> String {
    let isSolver = file.json["_class_name"]?.stringValue?.hasSuffix("MultistepScheduler") == true
    return isSolver ? "flow_shift" : "shift"
  }

  /// Whether a shift that depends on size is the line itself or its exponential.
  private func readKind(
    _ file: ConfigurationFile, _ rule: inout DynamicShift
  ) throws(ModelFileError) {
    func fail(_ fault: String) -> ModelFileError {
      ModelFileError(path: file.path, kind: .malformed, fault: fault)
    }
    guard let kind = file.json["time_shift_type"], !kind.isNull else { return }
    switch kind.stringValue {
    case "exponential": return
    case "linear": rule.isLinear = true
    default:
      throw fail("'time_shift_type' is \(kind.text().prefix(60)), expected exponential or linear")
    }
    guard min(rule.base, rule.maximum) > 0 else {
      throw fail("'base_shift' and 'max_shift' are to be above 0 where 'time_shift_type' is linear")
    }
  }
}

extension MetadataKeys {
  /// The schedule as GGUF metadata.
  ///
  /// - Parameters:
  ///   - shift: of the levels.
  ///   - trainTimesteps: timesteps in training; nil to leave them out.
  /// - Returns: pairs in file order.
  package func pairs(
    _ shift: LevelShift, trainTimesteps: Int?
  ) -> [(key: String, value: GGUFWriter.Value)] {
    var pairs: [(key: String, value: GGUFWriter.Value)] = []
    switch shift {
    case .fixed(let value): pairs.append((self.shift, .float32(Float(value))))
    case .dynamic(let rule):
      pairs += [
        (baseShift, .float32(Float(rule.base))), (maximumShift, .float32(Float(rule.maximum))),
        (baseTokens, .uint32(UInt32(clamping: rule.baseTokens))),
        (maximumTokens, .uint32(UInt32(clamping: rule.maximumTokens))),
      ]
    }
    if let trainTimesteps {
      pairs.append((self.trainTimesteps, .uint32(UInt32(clamping: trainTimesteps))))
    }
    return pairs
  }

  /// All keys of the schedule.
  package var schedule: [String] {
    [shift, baseShift, maximumShift, baseTokens, maximumTokens, trainTimesteps]
  }
}

extension GGUFFile {
  /// A number of the metadata; nil if the key is missing.
  ///
  /// - Throws: `ModelFileError` if the value is anything else.
  package func number(
    _ key: String, in range: ClosedRange<Double>
  ) throws(ModelFileError) -> Double? {
    guard let stored = value(for: key) else { return nil }
    guard let value = stored.decimal, range.contains(value) else {
      throw ModelFileError(
        path: file.path, kind: .malformed, fault: "metadata '\(key)' is not a number in \(range)")
    }
    return value
  }
}
