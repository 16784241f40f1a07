import Checkpoints
import ModelFiles
import StrictJSON
import Tokenizers

/// The parts of a model that a file can be made of.
package enum PartSelection: Hashable, Sendable {
  case all
  /// The network that denoises.
  case denoiser
  /// One part, by the command line option that names a file of it.
  case part(String)

  /// The parts of a family.
  ///
  /// - Throws: `ModelFileError` for a part that the family does not have.
  func slots(of family: FamilyDescription) throws(ModelFileError) -> [Slot] {
    switch self {
    case .all: return family.slots
    case .denoiser: return [family.denoiser]
    case .part(let option):
      if let slot = family.slots.first(where: { $0.option == option }) { return [slot] }
      throw ModelFileError(
        path: "--part \(option)", kind: .unsupported,
        fault: "\(family.modelPhrase) has no such part: its parts are "
          + family.slots.map(\.option).joined(separator: ", "))
    }
  }
}

/// What is converted: parts of a model, opened, checked against their architectures, and described
/// by all that their tensors do not tell.
package struct ConversionSource {
  /// An opened part.
  struct Part {
    let slot: Slot
    let network: NetworkDescription
    let facts: NetworkFacts
    /// What lies as `config.json` beside the weights.
    let configuration: JSONValue?
    /// Levels that folders count from the other end.
    let levelCount: Int
  }

  package let selection: PartSelection
  /// The family of the model.
  package let family: FamilyDescription
  /// The families that were looked for.
  let catalog: FamilyCatalog
  /// In the order of the family.
  let parts: [Part]
  /// Every tensor, in an order that does not depend on the input's layout.
  package let tensors: [PartTensor]
  /// In the order of the parts that read text.
  package let tokenizers: [SlotTokenizer]
  let scheduler: ConfigurationFile?
  /// How pictures are made with a published model of this kind.
  private let published: SamplingDefaults
  /// A GGUF file whose metadata may hold defaults.
  let defaults: GGUFFile?
  /// Every file that was opened.
  package let files: [String]
  /// What is strange about the files without being a fault: lines.
  let fileNotes: [String]
  /// Where the last tensor of each file with weights ends, used or not.
  package let contentEnds: [String: Int]

  /// Opens and checks parts.
  ///
  /// - Parameters:
  ///   - selection: what to convert.
  ///   - paths: where the parts are.
  ///   - hints: facts that neither tensors nor files tell.
  ///   - catalog: the families that the model may be of.
  /// - Throws: `ModelFileError` naming the first fault.
  package init(
    _ selection: PartSelection, paths: ModelPaths, hints: ArchitectureHints,
    in catalog: FamilyCatalog
  ) throws(ModelFileError) {
    let sources = try PartSources(
      paths, hints: hints, in: catalog, alternative: { Self.alternative(to: selection, $0) }
    ) { family throws(ModelFileError) in try selection.slots(of: family) }
    self.selection = selection
    self.catalog = catalog
    family = sources.family
    var parts: [Part] = []
    var tensors: [PartTensor] = []
    for source in sources.parts {
      // Opening the network checks every tensor's name and shape.
      let facts = try source.network.open(source)
      let found = try source.weights.tensors().sorted { Self.precedes($0.name, $1.name) }
      parts.append(
        Part(
          slot: source.slot, network: source.network, facts: facts,
          configuration: source.configuration?.json,
          levelCount: source.network.levelCount(of: found.map(\.name))))
      tensors += found
    }
    (self.parts, self.tensors) = (parts, tensors)
    let denoiser = sources.parts.first { $0.slot == sources.family.denoiser }
    published = family.defaults { denoiser?.weights.has($0) ?? false }
    tokenizers = sources.tokenizers
    scheduler = sources.scheduler
    defaults = sources.defaults
    files = sources.files
    fileNotes = sources.notes
    contentEnds = sources.parts.reduce(into: [:]) { ends, source in
      ends.merge(source.weights.archive.contentEnds) { max($0, $1) }
    }
    if selection == .all { try sources.expectTokenizers(paths) }
  }

  /// What to say where not every part is there.
  private static func alternative(
    to selection: PartSelection, _ there: [Slot]
  ) -> String? {
    guard selection == .all, there.count == 1, let part = there.first else { return nil }
    return "to convert the \(part.name) alone, pass --part \(part.option)"
  }

  /// The noise schedule that the files ask for.
  ///
  /// - Throws: `ModelFileError` if a value is of the wrong kind.
  func schedule() throws(ModelFileError) -> ScheduleFacts {
    try ScheduleFacts(scheduler, defaults, of: family, published: published)
  }

  /// An opened part by its place.
  func part(_ slot: Slot) -> Part? { parts.first { $0.slot == slot } }

  /// The tensors that one of ours is in a folder: their names, and which rows they have.
  func namesInFolder(of tensor: PartTensor) -> [(name: String, rowOrder: NameRule.RowOrder)] {
    guard let part = part(tensor.part) else { return [(tensor.name, .asStored)] }
    return part.network.inFolder(tensor.name, levels: part.levelCount)
  }

  // MARK: Order

  /// Orders names as people do: numbers by their value.
  private static func precedes(_ left: String, _ right: String) -> Bool {
    let (left, right) = (left.split(separator: "."), right.split(separator: "."))
    for (left, right) in zip(left, right) where left != right {
      if let left = Int(left), let right = Int(right) { return left < right }
      return left < right
    }
    return left.count < right.count
  }
}
