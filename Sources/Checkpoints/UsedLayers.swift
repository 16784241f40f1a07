import BlockFormats
import ModelFiles

/// The layers of an archive's parts, where nothing unknown may lie: an unknown tensor in a layer
/// that is used, or a scale that belongs to no weight, changes what the model draws.
struct UsedLayers {
  private let archive: TensorArchive
  /// Names of the modules that hold modules with weights, with the index of their part.
  private var containers: [String: Int] = [:]
  private let places: [PartLocation]
  /// Whether some weight that is used is stored in 8 bits, which are scaled as a rule.
  private var hasSmallFloats = false

  /// - Parameters:
  ///   - archive: an opened checkpoint.
  ///   - places: the parts in it.
  ///   - owners: for each tensor the index of the part that has it.
  init(_ archive: TensorArchive, _ places: [PartLocation], _ owners: [Int?]) {
    self.archive = archive
    self.places = places
    let roots = Set(places.map(\.prefix))
    for (index, record) in archive.tensors.records.enumerated() {
      guard let part = owners[index] else { continue }
      if [.f8_e4m3, .f8_e5m2, .u8, .i8].contains(record.type) { hasSmallFloats = true }
      guard let container = Self.container(of: record.name), !roots.contains(container + "."),
        !Self.isIdle(record.name, places[part])
      else { continue }
      containers[container] = part
    }
  }

  /// Whether a tensor is of what is not run, as the half of an autoencoder that draws nothing.
  private static func isIdle(_ name: String, _ place: PartLocation) -> Bool {
    guard name.hasPrefix(place.prefix) else { return false }
    let inner = name.dropFirst(place.prefix.count)
    return place.network.idleParts.contains { inner.hasPrefix($0) }
  }

  /// What stands before the last two components of a name; nil for names of fewer.
  private static func container(of name: String) -> String? {
    guard name.utf8.count <= 1024, let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")),
      let second = name.utf8[..<dot].lastIndex(of: UInt8(ascii: "."))
    else { return nil }
    return String(name[..<second])
  }

  /// Tensors of no part that must not be skipped.
  ///
  /// - Parameter foreign: tensors of no part, as indices.
  /// - Returns: each with the index of the part that it changes, nil for any, and why.
  func faults(among foreign: [Int]) -> [(index: Int, part: Int?, fault: String)] {
    guard !containers.isEmpty else { return [] }
    return foreign.compactMap { index in
      let name = archive.tensors.records[index].name
      if hasSmallFloats, Self.looksLikeScale(name) {
        let part = places.firstIndex { !$0.prefix.isEmpty && name.hasPrefix($0.prefix) }
        return (
          index, part,
          "it looks like a scale or zero point of a weight in 8 bits, but no weight has the name before it"
        )
      }
      guard let container = Self.container(of: name), let part = containers[container] else {
        return nil
      }
      return (
        index, part,
        "it lies in a layer of the \(places[part].slot.name) that is used and has no tensor of this name: the model is "
          + "of another kind"
      )
    }
  }

  /// Ends of names that scales and zero points have.
  private static let scaleEndings = [
    "scale", "scales", "scale_weight", "scale_inv", "scale_2", "zero_point", "zero_points",
    "absmax",
    "amax",
  ]
  /// Names that end so and are none.
  private static let others = ["logit_scale", "vae_scale", "upscale", "downscale", "rescale"]

  private static func looksLikeScale(_ name: String) -> Bool {
    let last = name.utf8.suffix(64).split(separator: UInt8(ascii: ".")).last ?? []
    let text = String(decoding: Array(last), as: UTF8.self).lowercased()
    return scaleEndings.contains { text.hasSuffix($0) } && !others.contains { text.hasSuffix($0) }
  }
}
