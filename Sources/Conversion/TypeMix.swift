import BlockFormats

/// A type that people name for a whole file: a type by itself, or one of the published mixes, which
/// give some tensors a better one.
package struct TypeMix: Sendable, Equatable {
  /// How much better the sensitive tensors of a mix are: the last letter of its name.
  package enum Size: String, Sendable {
    case small = "S"
    case medium = "M"
    case large = "L"
  }

  /// The usual spelling, e.g. `Q4_K_M`.
  package let name: String
  /// The type of most matrices.
  package let base: ElementType
  /// Nil for a type by itself.
  package let size: Size?
  /// The number that files carry as `general.file_type` (llama.cpp's `enum llama_ftype`).
  package let fileType: UInt32

  private init(_ base: ElementType, _ size: Size? = nil, fileType: UInt32) {
    name = base.name + (size.map { "_\($0.rawValue)" } ?? "")
    self.base = base
    self.size = size
    self.fileType = fileType
  }

  /// All of them, from the best to the smallest.
  package static let all = ElementType.conversionTargets.flatMap { base in
    let type = base.fileType.map { TypeMix(base, fileType: $0) }
    return mixes.filter { $0.base == base } + (type.map { [$0] } ?? [])
  }

  /// The published mixes. What they give to which tensors is up to `TypePolicy`.
  private static let mixes = [
    TypeMix(.q5_K, .medium, fileType: 17), TypeMix(.q5_K, .small, fileType: 16),
    TypeMix(.q4_K, .medium, fileType: 15), TypeMix(.q4_K, .small, fileType: 14),
    TypeMix(.q3_K, .large, fileType: 13), TypeMix(.q3_K, .medium, fileType: 12),
    TypeMix(.q3_K, .small, fileType: 11),
  ]

  /// The mix with a name, in any case; nil if there is none.
  package init?(named name: String) {
    guard let mix = Self.all.first(where: { $0.name.lowercased() == name.lowercased() }) else {
      return nil
    }
    self = mix
  }
}

extension ElementType {
  /// Average bits of an element.
  package var bitsPerElement: Double { Double(8 * bytesPerBlock) / Double(elementsPerBlock) }
}
