import BlockFormats
import Checkpoints
import ModelFiles

/// What each tensor becomes, and where it goes in the file: all that is decided before weights are
/// read.
package struct ConversionPlan {
  /// The kind of file to write.
  package enum Container: String, Sendable {
    case gguf = "GGUF"
    case safetensors
    /// A diffusers folder: safetensors with configurations and tokenizer.
    case folder = "diffusers folder"

    /// Whether tensors are kept as safetensors.
    var isSafetensors: Bool { self != .gguf }
  }

  /// What was asked for.
  package struct Request: Sendable {
    package var mix: TypeMix
    package var preset = TypePreset.published
    package var rules: [TypeRule] = []
    package var container = Container.gguf
    /// Types of matrices by our names, where they were found out tensor by tensor.
    package var chosenTypes: [String: ElementType] = [:]
    /// What weights are rounded for beside their own errors, as the file says it; nil for nothing.
    package var calibration: String?
    /// What is known of products with tensors, by our names.
    package var errors: [String: ProductErrors] = [:]

    /// A request for a type and nothing else.
    package init(_ mix: TypeMix) { self.mix = mix }
  }

  /// One tensor of the new file.
  package struct Tensor: Sendable {
    package let source: PartTensor
    /// The new file's name for it.
    package let name: String
    package let shape: [Int]
    /// What it does in the network.
    package let role: TensorRole
    package let type: ElementType
    /// Why the type is not the file's; nil where it is.
    package let reason: String?
    /// Whether the user named the type.
    var isRuled = false

    package var elementCount: Int { source.elementCount }
    package var byteCount: Int { declaration.byteCount ?? 0 }
    /// Whether the bytes stay as they are.
    package var isCopied: Bool { type == source.copiedType }
    /// Whether the type is free to choose: neither readers nor the user expect one, and it is a
    /// matrix whose rows hold whole blocks.
    package var isChoosable: Bool {
      role.isQuantized && !isRuled && shape.count == 2
        && shape[1] % ElementType.q8_0.elementsPerBlock == 0
    }
    /// Whether weights are rounded to blocks.
    package var isRounded: Bool { type.isBlockQuantized && !isCopied }
    /// Whether scales are searched for. Q8_0 is rounded to nearest.
    var isSearched: Bool { isRounded && type != .q8_0 }
    /// Whether the importance of columns counts. Token embeddings are looked up, not multiplied.
    package var usesImportance: Bool { isSearched && role != .embedding }
    var declaration: TensorDeclaration { TensorDeclaration(name: name, type: type, shape: shape) }
  }

  package let tensors: [Tensor]
  package let container: Container
  /// The family of the model.
  package let family: FamilyDescription
  /// Families whose folders may be replaced.
  package let catalog: FamilyCatalog
  /// The file; of a folder the files with tensors, in the order of `tensors`.
  package private(set) var files: [File]
  /// What was asked for; nil for overlays.
  private let request: Request?
  /// What a folder holds beside them, by paths in it.
  let texts: [(name: String, bytes: [UInt8])]
  /// Things that the user should know before.
  package let notes: [String]

  /// A file with tensors.
  package struct File {
    /// Its path in the folder; empty for a file by itself.
    let name: String
    let layout: TensorFileLayout
    let tensorCount: Int
  }

  /// Bytes to write.
  package var byteCount: Int {
    files.reduce(0) { $0 + $1.layout.byteCount } + texts.reduce(0) { $0 + $1.bytes.count }
  }
  /// Whether scales are searched for, so that searching longer makes a difference.
  package var searches: Bool { tensors.contains { $0.isSearched } }
  /// Bytes of all weights in the input.
  package var sourceByteCount: Int { tensors.reduce(0) { $0 + $1.source.byteCount } }
  /// Average bits of an element in the new file.
  package var bitsPerElement: Double {
    let elements = tensors.reduce(0) { $0 + $1.elementCount }
    return Double(8 * tensors.reduce(0) { $0 + $1.byteCount }) / Double(max(1, elements))
  }

  /// Rows longer than this are not quantized: no model has them, and a row has to be in memory.
  private static let longestRow = 1 << 20

  /// Plans a conversion.
  ///
  /// - Parameters:
  ///   - source: the model.
  ///   - request: what to make of it.
  ///   - path: the new file, for messages.
  /// - Throws: `ConversionError` for impossible rules and types, `ModelFileError` for a name that
  ///   the file cannot hold, or rows that cannot be divided as it has them.
  package init(_ source: ConversionSource, _ request: Request, path: String) throws {
    if request.container.isSafetensors, request.mix.base.isBlockQuantized {
      throw ConversionError.unusable(
        "--type \(request.mix.name): safetensors files hold F32, F16 or BF16; end the name in "
          + ".gguf for quantized types")
    }
    let items = try source.tensors.flatMap {
      try Self.placed($0, in: request.container, source)
    }.map { tensor, name in
      let shape = tensor.match.rule.shape.shape(
        of: tensor.shape, inFolder: request.container == .folder)
      return (tensor: tensor, shape: shape, role: tensor.match.role(shape: shape), name: name)
    }
    let rules = try TypeRule.matches(
      request.rules,
      names: items.map { item in
        let canonical = Self.canonicalName(of: item.tensor, source)
        return canonical == item.name ? [item.name] : [item.name, canonical]
      })
    var policy = TypePolicy(
      request.mix, request.preset,
      tensors: items.map { TypePolicy.Tensor($0.tensor, role: $0.role) })
    var tensors: [Tensor] = []
    for (item, rule) in zip(items, rules) {
      var (type, reason) = policy.type(TypePolicy.Tensor(item.tensor, role: item.role))
      // Such folders state one type for all.
      if request.container == .folder { (type, reason) = (request.mix.base, nil) }
      if let chosen = request.chosenTypes[item.tensor.name] {
        (type, reason) = (chosen, chosen == request.mix.base ? nil : "measured")
      }
      if let rule {
        reason = "rule \(rule + 1)"
        switch request.rules[rule].target {
        case .type(let wanted): type = wanted
        case .stored: type = item.tensor.type
        }
      }
      if let (fallback, why) = try Self.fallback(type, item.shape, item.name, request.container) {
        (type, reason) = (fallback, why)
      }
      tensors.append(
        Tensor(
          source: item.tensor, name: item.name, shape: item.shape, role: item.role, type: type,
          reason: reason, isRuled: rule != nil))
    }
    if request.container == .safetensors {
      // Readers that map files want numbers aligned: larger ones first.
      let sizes = [8, 4, 2].map { size in tensors.filter { $0.type.bytesPerBlock == size } }
      let others = tensors.filter { ![8, 4, 2].contains($0.type.bytesPerBlock) }
      tensors = sizes.flatMap { $0 } + others
    }
    self.tensors = tensors
    (family, catalog) = (source.family, source.catalog)
    container = request.container
    self.request = request
    (files, texts) = try Self.files(tensors, source, request, path: path)
    var notes = Self.notes(source, tensors, request)
    if [.careful, .compact].contains(request.preset), !policy.presetMatters {
      notes.append(
        "--preset \(request.preset.rawValue) changes nothing with --type \(request.mix.name)")
    }
    self.notes = notes
  }

  /// Plans a file of some matrices by themselves, under our names (see `ModelPaths.overlays`).
  ///
  /// - Parameters:
  ///   - matrices: what to convert, and to which types.
  ///   - model: a conversion of the model that they are of.
  ///   - path: the new file, for messages.
  /// - Throws: `ModelFileError` for a name that the file cannot hold.
  package init(
    overlay matrices: [(source: PartTensor, type: ElementType)], of model: ConversionPlan,
    path: String
  ) throws {
    (family, catalog) = (model.family, model.catalog)
    tensors = matrices.map { source, type in
      Tensor(
        source: source, name: source.name, shape: source.shape,
        role: source.match.role(shape: source.shape), type: type, reason: nil)
    }
    container = .gguf
    let layout = try GGUFWriter.layout(
      metadata: [("general.architecture", .string(family.architecture))],
      tensors: tensors.map(\.declaration),
      path: path)
    files = [File(name: "", layout: layout, tensorCount: tensors.count)]
    texts = []
    notes = []
    request = nil
  }

  /// The same file with what is known of products in its metadata.
  ///
  /// - Parameters:
  ///   - errors: by our names.
  ///   - source: the model.
  ///   - path: the new file, for messages.
  /// - Returns: the plan; an overlay stays as it is.
  /// - Throws: `ModelFileError`.
  package func noting(
    _ errors: [String: ProductErrors], of source: ConversionSource, path: String
  ) throws -> ConversionPlan {
    guard var request else { return self }
    request.errors = errors
    var plan = self
    plan.files = try Self.files(tensors, source, request, path: path).files
    return plan
  }

  // MARK: Types

  /// What a tensor becomes that cannot be of a type, and why.
  private static func fallback(
    _ type: ElementType, _ shape: [Int], _ name: String, _ container: Container
  ) throws(ConversionError) -> (ElementType, String)? {
    let isKnown =
      switch container {
      case .gguf: type.ggufID != nil
      case .safetensors, .folder: type.safetensorsName != nil
      }
    guard isKnown else {
      guard container.isSafetensors, type.isBlockQuantized else {
        return (.f16, "\(container.rawValue) has no \(type.name)")
      }
      throw .unusable(
        "tensor '\(name)' cannot be \(type.name) in safetensors, which hold F32, F16 or BF16: give "
          + "the file a name ending in .gguf")
    }
    guard type.isBlockQuantized else { return nil }
    guard shape.count == 2 else { return (shape.count < 2 ? .f32 : .f16, "not a matrix") }
    if shape[1] % type.elementsPerBlock != 0 {
      return (.f16, "rows of \(shape[1]) are not a multiple of \(type.elementsPerBlock)")
    }
    return shape[1] <= longestRow ? nil : (.f16, "rows of \(shape[1])")
  }

  private static func notes(
    _ source: ConversionSource, _ tensors: [Tensor], _ request: Request
  ) -> [String] {
    var notes = source.fileNotes
    let again = tensors.filter { $0.source.type.isBlockQuantized && !$0.isCopied }
    if let first = again.first {
      notes.append(
        "\(again.count) tensors are quantized already (such as \(first.source.storedName), "
          + "\(first.source.type.name)): their errors stay and new ones are added; convert from "
          + "F16 or BF16 weights if you can")
    }
    if let kind = source.otherTokenizerNote(request.container) { notes.append(kind) }
    if request.container == .folder, !source.defaultFlags.isEmpty {
      notes.append(
        "such folders do not say how pictures are made: pass \(source.defaultFlags) to have the input's "
          + "defaults")
    }
    let flags = source.factFlags
    if request.container == .safetensors, !flags.isEmpty {
      notes.append(
        "safetensors tell nothing of the architecture but shapes: pass \(flags) wherever this file "
          + "is used, or write a GGUF")
    }
    return notes
  }
}
