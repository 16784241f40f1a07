import Foundation

/// A model file's name taken apart, as tools write them:
/// `STEM[.VARIANT][-NUMBER-of-COUNT][.VARIANT].ENDING`.
struct CheckpointName: Equatable {
  /// Containers, told by the ending alone.
  enum Container: Equatable {
    case gguf, safetensors
  }

  /// Endings of names, in small letters.
  private static let endings: [(text: String, container: Container)] = [
    (".safetensors", .safetensors), (".sft", .safetensors), (".gguf", .gguf),
  ]
  /// Names that diffusers and transformers give to weights, best first. Whatever follows one after
  /// a dot is a variant, such as `fp16`.
  static let knownStems = ["diffusion_pytorch_model", "model", "pytorch_model"]
  /// Variants in the order in which they are taken where nobody says which; others follow.
  private static let variants = ["", "fp32", "bf16", "fp16"]

  /// The whole name.
  let text: String
  let container: Container
  let stem: String
  /// Empty where there is none.
  let variant: String
  /// Which of how many files that belong together it is, as written.
  let part: (number: Int, count: Int)?
  /// What files of one set have in common.
  let key: String
  /// What stands before and after the number.
  private let frame: (before: String, after: String, digits: Int)

  static func == (left: CheckpointName, right: CheckpointName) -> Bool { left.text == right.text }

  /// - Returns: nil for a name that no model file has; hidden ones are none.
  init?(_ text: String) {
    let small = text.lowercased()
    guard !text.hasPrefix("."), let ending = Self.endings.first(where: { small.hasSuffix($0.text) })
    else { return nil }
    self.text = text
    container = ending.container
    let base = String(text.dropLast(ending.text.count))
    let suffix = String(text.suffix(ending.text.count))
    guard let match = base.firstMatch(of: /-([0-9]{1,6})-of-([0-9]{1,6})(?=$|\.)/),
      let number = Int(match.output.1), let count = Int(match.output.2),
      (1...SafetensorsIndex.maximumShardCount).contains(count), number <= count
    else {
      part = nil
      frame = ("", "", 0)
      (stem, variant) = Self.split(base)
      key = text
      return
    }
    let (before, after) = (base[..<match.range.lowerBound], base[match.range.upperBound...])
    part = (number, count)
    (stem, variant) = Self.split(String(before + after))
    frame = (String(before), "-of-\(match.output.2)\(after)\(suffix)", match.output.1.utf8.count)
    key = "\(before)-*\(frame.after)"
  }

  /// The name of another file of the same set.
  func sibling(_ number: Int) -> String {
    let digits = "\(number)"
    return frame.before + "-" + String(repeating: "0", count: max(0, frame.digits - digits.count))
      + digits + frame.after
  }

  private static func split(_ base: String) -> (stem: String, variant: String) {
    for known in knownStems where base.hasPrefix(known + ".") {
      return (known, String(base.dropFirst(known.count + 1)))
    }
    return (base, "")
  }

  /// Stem and variant of an index: `STEM.safetensors.index[.VARIANT].json` or
  /// `STEM.VARIANT.safetensors.index.json`; nil for other names.
  static func index(_ text: String) -> (stem: String, variant: String)? {
    let small = text.lowercased()
    guard !text.hasPrefix("."), small.hasSuffix(".json"),
      let middle = small.range(of: ".safetensors.index.")
    else { return nil }
    let front = text.prefix(small.distance(from: small.startIndex, to: middle.lowerBound))
    let (stem, variant) = split(String(front))
    let rest = small[middle.upperBound...].dropLast("json".count)
    return (stem, rest.isEmpty ? variant : String(rest.dropLast()))
  }

  /// Orders sets of one folder by what is most likely meant.
  static func rank(stem: String, variant: String) -> (Int, Int, String) {
    (
      knownStems.firstIndex(of: stem) ?? knownStems.count,
      variants.firstIndex(of: variant) ?? variants.count, variant
    )
  }
}
