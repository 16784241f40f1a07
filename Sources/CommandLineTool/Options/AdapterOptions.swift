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
    guard let recorded, lora.isEmpty else { return self }
    var options = self
    let strengths = recorded.inputs.filter { $0.option == "lora" }.map { $0.strength ?? 1 }
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

  init(_ adapter: AdapterPath) { self.adapter = adapter }

  /// Takes what stands behind the last colon for the weight, unless a file has that name.
  init?(argument: String) {
    guard !argument.isEmpty else { return nil }
    guard let colon = argument.lastIndex(of: ":"), colon != argument.startIndex,
      let strength = Double(argument[argument.index(after: colon)...]),
      !FileSystem.exists(argument)
    else {
      adapter = AdapterPath(path: argument)
      return
    }
    adapter = AdapterPath(path: String(argument[..<colon]), strength: strength)
  }

  var defaultValueDescription: String { "\(adapter.path):\(adapter.strength)" }
}
