import BlockFormats
import Checkpoints
import Diffusion
import ModelFiles
import StrictJSON
import Tokenizers

extension ConversionSource {
  private typealias Pair = (key: String, value: GGUFWriter.Value)

  /// Metadata of a GGUF file with these parts.
  ///
  /// - Parameter mix: the file's type.
  /// - Returns: pairs in file order.
  /// - Throws: `ModelFileError` if a description of the input is malformed.
  func metadata(
    _ mix: TypeMix
  ) throws(ModelFileError) -> [(key: String, value: GGUFWriter.Value)] {
    var pairs: [Pair] = [("general.architecture", .string(architecture))]
    if let name = defaults?.value(for: "general.name"), name.type == .string {
      pairs.append(("general.name", .copy(name)))
    }
    pairs += [
      ("general.file_type", .uint32(mix.fileType)), ("general.quantization_version", .uint32(2)),
    ]
    if selection == .all { pairs += try defaultPairs() }
    for part in parts {
      if selection != .all { pairs += part.facts.standaloneMetadata }
      pairs += part.facts.settings.compactMap { value in
        family.metadataKey(of: value.setting, in: part.slot).map { ($0, value.metadataValue) }
      }
    }
    for tokenizer in tokenizers {
      pairs += try TokenizerMetadata(tokenizer, of: self).pairs()
    }
    return pairs
  }

  private var architecture: String {
    selection == .all ? family.architecture : parts.first?.network.architecture ?? ""
  }

  // MARK: Defaults

  /// How the model wants to be used, as a GGUF file or a scheduler's configuration tells it.
  private func defaultPairs() throws(ModelFileError) -> [Pair] {
    var pairs: [Pair] = []
    let keys = family.metadata
    let schedule = keys.schedule
    for key in keys.flags.map(\.key) + schedule {
      guard let value = defaults?.value(for: key) else { continue }
      guard value.double != nil else {
        throw ModelFileError(
          path: defaults?.file.path ?? "", kind: .malformed,
          fault: "metadata '\(key)' is not a number")
      }
      pairs.append((key, .copy(value)))
    }
    guard let scheduler else { return pairs }
    pairs.removeAll { schedule.contains($0.key) }
    let isDynamic = scheduler.json["use_dynamic_shifting"]?.boolValue == true
    let count = scheduler.json["num_train_timesteps"]?.integerValue
    if isDynamic || scheduler.json[ScheduleFacts.shiftKey(scheduler)]?.doubleValue != nil {
      pairs += keys.pairs(try self.schedule().shift, trainTimesteps: count)
    } else if let count {
      pairs.append((keys.trainTimesteps, .uint32(UInt32(clamping: count))))
    }
    // Written whole where a shift is not all that it says.
    if try !ModelScheduler(scheduler).isUsual {
      pairs.append((keys.schedulerConfiguration, .string(scheduler.json.text())))
    }
    return pairs
  }

  /// The flags that say what differs from the published model and what tensors do not tell.
  var factFlags: String {
    parts.flatMap { part in
      part.facts.settings.compactMap { value in
        let setting = part.network.described(value.setting)
        guard let flag = setting.flag, value.value != setting.published else { return nil }
        return "\(flag) \(value.text)"
      }
    }.joined(separator: " ")
  }

  /// The flags that stand for the defaults in the metadata of the input.
  var defaultFlags: String {
    family.metadata.flags.compactMap { key, flag -> String? in
      guard let value = defaults?.value(for: key)?.decimal else { return nil }
      return "\(flag) " + (Int(exactly: value).map { "\($0)" } ?? "\(value)")
    }.joined(separator: " ")
  }

  // MARK: Tokenizers

  /// Why the new file holds no tokenizer and what to do, as a note for the user; nil if it holds
  /// those of all its parts that read text.
  func otherTokenizerNote(_ container: ConversionPlan.Container) -> String? {
    let readers = parts.map(\.slot).filter { $0.tokenizer != nil }
    guard !readers.isEmpty, container != .folder else { return nil }
    if container == .safetensors {
      let flags = readers.compactMap { $0.tokenizer?.flag }
      return "safetensors files hold neither tokenizer nor settings: keep the model's own beside "
        + "them, and name the tokenizer with \(flags.joined(separator: " and "))"
    }
    let missing = readers.filter { slot in !tokenizers.contains { $0.slot == slot } }
      .compactMap(\.tokenizer)
    guard let place = missing.first else { return nil }
    return "no \(place.name) was found, so the file has none: name one with \(place.flag)"
  }
}
