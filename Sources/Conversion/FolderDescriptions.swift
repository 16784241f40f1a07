import BlockFormats
import Checkpoints
import ModelFiles
import StrictJSON
import Tokenizers

/// The small files of a diffusers folder: configurations, index, scheduler and tokenizers.
///
/// What the input's own files say is kept; what is missing follows from the opened networks.
struct FolderDescriptions {
  let source: ConversionSource
  /// The type of the weights.
  let type: ElementType

  /// Paths in the folder with contents.
  ///
  /// - Returns: all files; of a single part those of its own folder.
  /// - Throws: `ModelFileError` or `ConversionError` for a tokenizer that such folders cannot have.
  func files() throws -> [(name: String, bytes: [UInt8])] {
    let isWhole = source.selection == .all
    var files = source.parts.map { part in
      (
        name: (isWhole ? part.slot.key + "/" : "") + "config.json",
        bytes: Self.bytes(configuration(of: part, isAlone: !isWhole))
      )
    }
    guard isWhole else { return files }
    files.append(("scheduler/scheduler_config.json", try Self.bytes(scheduler)))
    for tokenizer in source.tokenizers {
      files += try TokenizerFiles(tokenizer).files().map {
        ("\(tokenizer.place.key)/\($0.name)", $0.bytes)
      }
    }
    files.append(("model_index.json", Self.bytes(index)))
    return files
  }

  static func bytes(_ json: JSONValue) -> [UInt8] {
    Array((json.text(indentation: 2) + "\n").utf8)
  }

  // MARK: Parts

  private func configuration(of part: ConversionSource.Part, isAlone: Bool) -> JSONValue {
    let stated = part.configuration?.members ?? []
    let side = source.pictureWidth
    let context = ConfigurationContext(
      type: type, pictureSide: side, isSynthetic: false,
      endID: stated.contains { $0.key == "eos_token_id" } ? nil : endID(of: part.slot))
    let maker = JSONValue.Member(
      key: "_name_or_path", value: .string(OwnFolder.Maker.convert.rawValue))
    var own = (isAlone ? [maker] : []) + part.facts.configuration(context)
    if stated.contains(where: { $0.key == "dtype" }) {
      own.append(.init(key: "dtype", value: PipelineDescription.dataType(type)))
    }
    // Without a default of the model's own, the size is a guess.
    if side == nil, stated.contains(where: { $0.key == "sample_size" }) {
      own.removeAll { $0.key == "sample_size" }
    }
    // What was found while the part was opened is true; of the rest the input knows more, but for
    // how its own weights were stored and who wrote it.
    let replaced =
      Set(own.map(\.key)).union([maker.key, "quantization_config", "compression_config"])
    return .object(own + stated.filter { !replaced.contains($0.key) })
  }

  /// The token that ends a prompt, by a text encoder's tokenizer; nil where none tells.
  private func endID(of slot: Slot) -> Int? {
    let tokenizer = source.tokenizers.first { $0.slot == slot }
    return tokenizer.flatMap { try? Tokenizer($0.source) }?.endOfSequenceID.map { Int($0) }
  }

  // MARK: Pipeline

  private var index: JSONValue {
    PipelineDescription.index(
      by: .convert, of: source.family,
      networks: Dictionary(
        source.parts.map { ($0.slot, $0.network) }, uniquingKeysWith: { first, _ in first }),
      scheduler: source.scheduler?.json["_class_name"]?.stringValue
        ?? "FlowMatchEulerDiscreteScheduler"
    ) { place in
      let tokenizer = source.tokenizers.first { $0.place.key == place.key }
      return tokenizer.map { TokenizerFiles($0).className } ?? place.form.className
    }
  }

  private var scheduler: JSONValue {
    get throws(ModelFileError) {
      if let stated = source.scheduler?.json.members {
        // What is null means its class's own value: so does what had no number in JSON.
        return .object(stated.filter { !$0.value.isNull })
      }
      let schedule = try source.schedule()
      return PipelineDescription.scheduler(
        shift: schedule.shift, trainTimesteps: schedule.trainTimesteps)
    }
  }
}

extension ConversionSource {
  /// Pixels per row of pictures, if the input says how it wants to be used.
  fileprivate var pictureWidth: Int? {
    let width = defaults?.value(for: family.metadata.width)?.integer
    return width.flatMap { (8...65_536).contains($0) ? $0 : nil }
  }
}
