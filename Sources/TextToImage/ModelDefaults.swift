import Checkpoints
import ModelFiles
import StrictJSON

/// What a model's own files say about how it wants to be used.
struct ModelDefaults {
  var generation: GenerationDefaults
  let schedule: ScheduleFacts

  /// Takes the family's own where neither GGUF metadata nor a scheduler configuration tells.
  ///
  /// - Throws: `ModelFileError` if a value is of the wrong kind or the scheduler another one.
  init(_ sources: ModelSources) throws(ModelFileError) {
    let published = try sources.publishedDefaults()
    schedule = try ScheduleFacts(
      sources.scheduler, sources.defaults, of: sources.family, published: published)
    generation = GenerationDefaults(published)
    generation.shift = schedule.shift.fixed
    if let gguf = sources.defaults { try read(gguf, sources.family.metadata) }
  }

  /// Refuses a default size that no picture can have.
  ///
  /// - Parameters:
  ///   - sources: the model.
  ///   - multiple: sides are multiples of it.
  /// - Throws: `ModelFileError` naming the key.
  func checkSize(_ sources: ModelSources, multiple: Int) throws(ModelFileError) {
    guard let gguf = sources.defaults else { return }
    let keys = sources.family.metadata
    for (key, side) in [(keys.width, generation.width), (keys.height, generation.height)]
    where gguf.value(for: key) != nil && side % multiple != 0 {
      throw ModelFileError(
        path: gguf.file.path, kind: .malformed,
        fault: "metadata '\(key)' is \(side), expected a multiple of \(multiple)")
    }
  }

  private mutating func read(
    _ gguf: GGUFFile, _ keys: MetadataKeys
  ) throws(ModelFileError) {
    func set(
      _ field: WritableKeyPath<GenerationDefaults, Int>, _ key: String, _ range: ClosedRange<Double>
    ) throws(ModelFileError) {
      if let value = try gguf.number(key, in: range) {
        generation[keyPath: field] = Int(value)
      }
    }
    try set(\.width, keys.width, 1...65_536)
    try set(\.height, keys.height, 1...65_536)
    try set(\.steps, keys.steps, 1...10_000)
    try set(\.maxSequenceLength, keys.maxSequenceLength, 1...4096)
    if let scale = try gguf.number(keys.guidanceScale, in: 0...1000) {
      generation.guidanceScale = scale
    }
    if generation.guidance != nil, let strength = try gguf.number(keys.guidance, in: 0...1000) {
      generation.guidance = strength
    }
  }
}
