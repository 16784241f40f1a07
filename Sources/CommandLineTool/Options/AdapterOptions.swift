import ArgumentParser
import Foundation
import ModelFiles
import TextToImage

/// Adapters to apply to the model.
struct AdapterOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "An adapter (LoRA, DoRA, LoHa, LoKr, IA3) to apply, and how strongly: 1 if left out. "
        + "May be repeated.",
      valueName: "path[:weight]"), completion: .file())
  var lora: [NamedAdapter] = []

  /// The adapters in order.
  var paths: [AdapterPath] { lora.map(\.adapter) }

  /// The same with the adapters that a picture's file names, where none was named.
  ///
  /// - Throws: `ModelFileError` if one that took part is not there, or is another one.
  func completed(by recorded: RecordedPicture?) throws -> AdapterOptions {
    guard let recorded else { return self }
    var options = self
    let known = recorded.inputs.filter { $0.option == "lora" }
    guard lora.isEmpty else {
      // The file that took part, named because it lies elsewhere, keeps its strength.
      options.lora = lora.map { named in
        guard !named.hasStrength, let hash = FileFingerprint.of(named.adapter.path),
          let same = known.first(where: { $0.fingerprint == hash })
        else { return named }
        return NamedAdapter(
          AdapterPath(path: named.adapter.path, strength: same.strength ?? 1), hasStrength: false)
      }
      return options
    }
    let strengths = known.map { $0.strength ?? 1 }
    options.lora = try zip(recorded.inputs("lora", given: []), strengths).map {
      NamedAdapter(AdapterPath(path: $0, strength: $1))
    }
    return options
  }

  /// What tells a picture's model from one without adapters; empty for none.
  var suffix: String {
    lora.map { named in
      let name = FilePaths.shown(FileSystem.stem(of: named.adapter.path))
      return " + \(name):\(named.adapter.strength)"
    }.joined()
  }
}

/// `PATH` or `PATH:WEIGHT`.
struct NamedAdapter: ExpressibleByArgument {
  let adapter: AdapterPath
  /// Whether a weight was given.
  let hasStrength: Bool

  init(_ adapter: AdapterPath, hasStrength: Bool = true) {
    self.adapter = adapter
    self.hasStrength = hasStrength
  }

  /// Takes what stands behind the last colon for the weight, unless a file has that name.
  init?(argument: String) {
    guard !argument.isEmpty else { return nil }
    guard let colon = argument.lastIndex(of: ":"), colon != argument.startIndex,
      let strength = Double(argument[argument.index(after: colon)...]),
      !FileSystem.exists(argument)
    else {
      self.init(AdapterPath(path: argument), hasStrength: false)
      return
    }
    self.init(AdapterPath(path: String(argument[..<colon]), strength: strength))
  }

  var defaultValueDescription: String { "\(adapter.path):\(adapter.strength)" }
}
