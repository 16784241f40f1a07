import ModelFiles
import StrictJSON

/// What PEFT's configuration says of an adapter's scale: beside the weights in
/// `adapter_config.json`, or in a safetensors file's metadata.
///
/// - SeeAlso: peft 0.21 `tuners/lora/config.py`; diffusers 0.42.1 `loaders/lora_base.py`, which
///   writes the configuration of each component with its name in front.
struct AdapterScales: Sendable {
  /// What is said of one component.
  private struct Component: Sendable {
    /// What names of its modules begin with, the dot included.
    let prefix: String
    /// The rank that alpha is divided by where none is stored.
    let rank: Double?
    let alpha: Double?
    /// Numerators by ends of modules' names.
    let alphas: [(module: String, alpha: Double)]
    let usesRoot: Bool
  }

  private let components: [Component]

  /// Nothing is known.
  static let none = AdapterScales(components: [])

  private init(components: [Component]) { self.components = components }

  /// Reads the configuration of all components.
  ///
  /// - Parameters:
  ///   - json: an object with PEFT's keys.
  ///   - isPrefixed: whether keys have a component's name in front, as diffusers writes them.
  ///   - path: the file to name in messages.
  /// - Throws: `ModelFileError` for values of another kind, or patterns that are not names.
  init(_ json: JSONValue, isPrefixed: Bool, path: String) throws(ModelFileError) {
    var prefixes = [""]
    if isPrefixed {
      let names = (json.members ?? []).compactMap { member in
        member.key.hasSuffix(".r") ? String(member.key.dropLast(1)) : nil
      }
      prefixes = names
    }
    components = try prefixes.map { prefix throws(ModelFileError) in
      try Self.component(prefix, json, path)
    }
  }

  private static func component(
    _ prefix: String, _ json: JSONValue, _ path: String
  ) throws(ModelFileError) -> Component {
    func number(_ value: JSONValue?, _ key: String) throws(ModelFileError) -> Double? {
      guard let value, !value.isNull else { return nil }
      guard let number = value.doubleValue, number.isFinite else {
        throw ModelFileError(
          path: path, kind: .malformed, fault: "'\(key)' must be a number in an adapter's settings")
      }
      return number
    }
    var alphas: [(module: String, alpha: Double)] = []
    for member in json["\(prefix)alpha_pattern"]?.members ?? [] {
      // Patterns may be regular expressions; files in use have names.
      guard !member.key.contains(where: { "*+?[](){}|\\$".contains($0) }) else {
        throw ModelFileError(
          path: path, kind: .unsupported,
          fault: "'alpha_pattern' has the pattern '\(member.key.prefix(60))', expected names of "
            + "modules: take a version of the adapter with an alpha for each module")
      }
      let name = member.key.hasPrefix("^") ? String(member.key.dropFirst()) : member.key
      if let alpha = try number(member.value, "alpha_pattern") { alphas.append((name, alpha)) }
    }
    return Component(
      prefix: prefix, rank: try number(json["\(prefix)r"], "r"),
      // LoHa and LoKr have it by the shorter name.
      alpha: try number(json["\(prefix)lora_alpha"] ?? json["\(prefix)alpha"], "lora_alpha"),
      alphas: alphas, usesRoot: json["\(prefix)use_rslora"]?.boolValue ?? false)
  }

  /// The factor of a module's term.
  ///
  /// - Parameters:
  ///   - module: its name in the file.
  ///   - rank: as it is stored, at least 1; nil where nothing is of low rank, which PEFT scales by
  ///     the rank of its configuration all the same.
  /// - Returns: the factor; 1 where nothing is said.
  func factor(of module: String, rank: Int?) -> Double {
    guard let component = components.first(where: { module.hasPrefix($0.prefix) }) else { return 1 }
    let alpha =
      component.alphas.first { module == $0.module || module.hasSuffix("." + $0.module) }?.alpha
      ?? component.alpha
    guard let alpha, let rank = rank.map({ Double($0) }) ?? component.rank, rank > 0 else {
      return 1
    }
    return alpha / (component.usesRoot ? rank.squareRoot() : rank)
  }
}
