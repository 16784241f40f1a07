import Checkpoints
import ModelFiles
import StrictJSON

/// What a model's own files say about how it wants to be used.
struct ModelDefaults {
  var generation: GenerationDefaults
  /// Factor between noise levels and training times.
  var trainTimesteps: Int

  /// Takes the family's own where neither GGUF metadata nor a scheduler configuration tells.
  ///
  /// - Throws: `ModelFileError` if a value is of the wrong kind or the scheduler another one.
  init(_ sources: ModelSources) throws(ModelFileError) {
    let published = sources.family.defaults
    generation = GenerationDefaults(published)
    trainTimesteps = published.trainTimesteps
    if let gguf = sources.defaults { try read(gguf, sources.family.metadata) }
    if let scheduler = sources.scheduler { try read(scheduler) }
  }

  private mutating func read(
    _ gguf: GGUFFile, _ keys: MetadataKeys
  ) throws(ModelFileError) {
    func number(_ key: String, _ range: ClosedRange<Double>) throws(ModelFileError) -> Double? {
      guard let stored = gguf.value(for: key) else { return nil }
      guard let value = stored.decimal, range.contains(value) else {
        throw ModelFileError(
          path: gguf.file.path, kind: .malformed,
          fault: "metadata '\(key)' is not a number in \(range)")
      }
      return value
    }
    func set(
      _ field: WritableKeyPath<GenerationDefaults, Int>, _ key: String, _ range: ClosedRange<Double>
    ) throws(ModelFileError) {
      if let value = try number(key, range) {
        generation[keyPath: field] = Int(value)
      }
    }
    try set(\.width, keys.width, 1...65_536)
    try set(\.height, keys.height, 1...65_536)
    try set(\.steps, keys.steps, 1...10_000)
    try set(\.maxSequenceLength, keys.maxSequenceLength, 1...4096)
    if let scale = try number(keys.guidanceScale, 0...1000) {
      generation.guidanceScale = scale
    }
    if let shift = try number(keys.shift, 1e-3...1e3) { generation.shift = shift }
    if let count = try number(keys.trainTimesteps, 1...1e6) {
      trainTimesteps = Int(count)
    }
  }

  private mutating func read(_ file: ConfigurationFile) throws(ModelFileError) {
    func fail(_ fault: String, _ kind: ModelFileError.Kind = .unsupported) -> ModelFileError {
      ModelFileError(path: file.path, kind: kind, fault: fault)
    }
    if let name = file.json["_class_name"], name.stringValue != "FlowMatchEulerDiscreteScheduler" {
      throw fail(
        "scheduler \(name.text().prefix(60)) is not supported, only "
          + "FlowMatchEulerDiscreteScheduler")
    }
    let options = [
      "use_dynamic_shifting", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
      "invert_sigmas", "stochastic_sampling",
    ]
    for option in options {
      guard let stored = file.json[option], !stored.isNull else { continue }
      guard stored.boolValue == false else {
        throw fail("scheduler option '\(option)' is not supported")
      }
    }
    if let terminal = file.json["shift_terminal"], !terminal.isNull, terminal.doubleValue != 0 {
      throw fail("scheduler option 'shift_terminal' is not supported")
    }
    if let stored = file.json["shift"] {
      guard let shift = stored.doubleValue, (1e-3...1e3).contains(shift) else {
        throw fail("'shift' is not a number in 0.001...1000", .malformed)
      }
      generation.shift = shift
    }
    if let stored = file.json["num_train_timesteps"] {
      guard let count = stored.integerValue, (1...1_000_000).contains(count) else {
        throw fail("'num_train_timesteps' is not an integer in 1...1000000", .malformed)
      }
      trainTimesteps = count
    }
  }
}
