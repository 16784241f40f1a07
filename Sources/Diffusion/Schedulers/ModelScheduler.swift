import Checkpoints
import ModelFiles
import StrictJSON

/// What a model's scheduler configuration asks for beside shift and timesteps of training: the
/// sampler and the levels, or why it cannot have them.
package struct ModelScheduler: Sendable, Equatable {
  /// The sampler.
  package private(set) var sampler = SamplerName.euler
  /// The levels.
  package private(set) var levels = SchedulerLevels()
  /// Why steps as the configuration asks for them are not made: a line without what to do about
  /// it; nil where they are.
  package private(set) var fault: String?
  /// Whether a configuration of the usual class with nothing but a shift would say the same.
  package private(set) var isUsual = true

  /// What counts without a configuration.
  package init() {}

  /// Reads a configuration.
  ///
  /// - Parameters:
  ///   - file: `scheduler_config.json`.
  ///   - mixture: how the model mixes noise; nil for how the class has it.
  /// - Throws: `ModelFileError` for a value of the wrong kind. What is right but not supported is
  ///   a `fault`, for other samplers can be asked for.
  package init(
    _ file: ConfigurationFile, for mixture: NoiseMixture? = nil
  ) throws(ModelFileError) {
    let stated = file.json["_class_name"]?.stringValue ?? SchedulerClass.flowEuler.name
    let options = OptionReader(file)
    levels.trainTimesteps = try options.count("num_train_timesteps") ?? 1000
    guard let kind = SchedulerClass.named(stated, for: mixture ?? .flow) else {
      isUsual = false
      fault = "\(file.path): scheduler \(stated.prefix(60)) is not known here"
      return
    }
    isUsual = kind.name == SchedulerClass.flowEuler.name
    sampler = kind.sampler
    levels.base = kind.levels
    levels.hasWholeTimesteps = kind.hasWholeTimesteps
    fault = Self.fault(of: kind, file, mixture ?? kind.mixture)
    if fault != nil { isUsual = false }
    guard fault == nil else { return }
    if try options.flag("stochastic_sampling"), kind.sampler == .euler {
      sampler = .lcm
      isUsual = false
    }
    try readLevels(options)
  }

  /// The levels where a request names the sampler.
  package func levels(for sampler: SamplerName) -> SchedulerLevels {
    guard fault == nil else { return SchedulerLevels() }
    guard sampler != self.sampler else { return levels }
    // Those of a class are for its own steps.
    var levels = levels
    levels.base = .family
    levels.hasWholeTimesteps = false
    return levels
  }

  /// Where an option is not what the sampler is made for.
  private static func fault(
    of kind: SchedulerClass, _ file: ConfigurationFile, _ mixture: NoiseMixture
  ) -> String? {
    guard kind.mixture == mixture else {
      return "\(file.path): scheduler \(kind.name) is for models that predict "
        + (mixture == .flow ? "noise, this one predicts a flow" : "a flow, this one predicts noise")
    }
    for option in kind.options {
      let stored = file.json[option.name]
      if stored == nil && !option.isNeeded || stored?.isNull == true && !option.isNeeded {
        continue
      }
      let text = stored?.text() ?? "not there"
      guard !option.accepted.contains(text) else { continue }
      let wanted = option.accepted.isEmpty ? "null" : option.accepted.joined(separator: " or ")
      return "\(file.path): '\(option.name)' of \(kind.name) is \(text.prefix(60)), supported is "
        + wanted
    }
    return nil
  }

  private mutating func readLevels(_ options: OptionReader) throws(ModelFileError) {
    let spreads: [(String, SchedulerLevels.Spread)] = [
      ("use_karras_sigmas", .karras), ("use_exponential_sigmas", .exponential),
      ("use_beta_sigmas", .beta),
    ]
    // Heun's class knows none of them.
    guard levels.base != .evenTimes else { return }
    for (name, spread) in spreads where try options.flag(name) {
      guard levels.spread == .asTheyAre else {
        throw options.malformed("'\(name)' and another spread of levels are both true")
      }
      levels.spread = spread
      isUsual = false
    }
    if let terminal = try options.number("shift_terminal", in: 0...0.999), terminal > 0 {
      levels.terminal = terminal
      isUsual = false
    }
    if options.isLinearShift { isUsual = false }
  }
}

/// Options of a scheduler's configuration, each of its kind. What is null is not there.
private struct OptionReader {
  private let file: ConfigurationFile

  init(_ file: ConfigurationFile) { self.file = file }

  func malformed(_ fault: String) -> ModelFileError {
    ModelFileError(path: file.path, kind: .malformed, fault: fault)
  }

  private func stored(_ name: String) -> JSONValue? {
    file.json[name].flatMap { $0.isNull ? nil : $0 }
  }

  func flag(_ name: String) throws(ModelFileError) -> Bool {
    guard let stored = stored(name) else { return false }
    guard let value = stored.boolValue else { throw malformed("'\(name)' is not true or false") }
    return value
  }

  func number(
    _ name: String, in range: ClosedRange<Double>
  ) throws(ModelFileError) -> Double? {
    guard let stored = stored(name) else { return nil }
    guard let value = stored.doubleValue, range.contains(value) else {
      throw malformed("'\(name)' is not a number in \(range.lowerBound)...\(range.upperBound)")
    }
    return value
  }

  func count(_ name: String) throws(ModelFileError) -> Int? {
    guard let stored = stored(name) else { return nil }
    guard let value = stored.integerValue, (1...1_000_000).contains(value) else {
      throw malformed("'\(name)' is not an integer in 1...1000000")
    }
    return value
  }

  var isLinearShift: Bool { file.json["time_shift_type"]?.stringValue == "linear" }
}
