/// The keys of a family's GGUF metadata, for those who read, write and synthesize files.
package struct MetadataKeys: Sendable {
  private let prefix: String

  /// - Parameter prefix: what all of the family's own keys begin with, without the dot.
  package init(prefix: String) { self.prefix = prefix }

  /// Whether a key is one of the family's own.
  func owns(_ key: String) -> Bool { key.hasPrefix(prefix + ".") }

  /// Pixels per row of pictures, unless somebody says otherwise.
  package var width: String { "\(prefix).default.width" }
  /// Rows of pictures.
  package var height: String { "\(prefix).default.height" }
  /// Denoising steps.
  package var steps: String { "\(prefix).default.steps" }
  /// Strength of classifier-free guidance.
  package var guidanceScale: String { "\(prefix).default.guidance_scale" }
  /// Strength of distilled guidance.
  package var guidance: String { "\(prefix).default.guidance" }
  /// Maximum number of tokens of a prompt.
  package var maxSequenceLength: String { "\(prefix).default.max_sequence_length" }
  /// Shift of the noise schedule.
  package var shift: String { "\(prefix).scheduler.shift" }
  /// A shift that depends on the picture's size: exponents of a small and a large picture, and
  /// their image tokens. They take the place of a fixed one.
  package var baseShift: String { "\(prefix).scheduler.base_shift" }
  package var maximumShift: String { "\(prefix).scheduler.max_shift" }
  package var baseTokens: String { "\(prefix).scheduler.base_image_seq_len" }
  package var maximumTokens: String { "\(prefix).scheduler.max_image_seq_len" }
  /// A whole `scheduler_config.json`, of models that want more than a shift; it comes before the
  /// other keys of the schedule.
  package var schedulerConfiguration: String { "\(prefix).scheduler.config" }
  /// Timesteps in training.
  package var trainTimesteps: String { "\(prefix).scheduler.train_timesteps" }

  /// How pictures are made, with the command line's flags; the schedule is not among them.
  package var flags: [(key: String, flag: String)] {
    [
      (width, "-W"), (height, "-H"), (steps, "--steps"), (guidanceScale, "--guidance-scale"),
      (guidance, "--guidance"), (maxSequenceLength, "--max-sequence-length"),
    ]
  }

  /// Where a setting is written; nil if nowhere.
  ///
  /// - Parameters:
  ///   - setting: the setting.
  ///   - part: what stands before its name where two places have the same settings.
  /// - Returns: the key.
  func key(of setting: Setting, behind part: String = "") -> String? {
    setting.metadataName.map { "\(prefix).\(part)\($0)" }
  }
}
