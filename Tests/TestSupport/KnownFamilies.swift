import AuraFlowFamily
import BlockFormats
import Checkpoints
import Conversion
import ModelCatalog
import ModelFiles
import ModelSynthesis

// What tests of the program's own families say in short.

extension Slot {
  package static let transformer = AuraFlow.transformer
  package static let textEncoder = AuraFlow.textEncoder
  package static let autoencoder = AuraFlow.autoencoder
}

extension PartSource {
  /// Opens a part of the known families.
  package init(
    _ slot: Slot, path: String, hints: ArchitectureHints = ArchitectureHints()
  ) throws(ModelFileError) {
    try self.init(slot, of: AuraFlow.family, path: path, hints: hints, in: .known)
  }
}

extension PartSources {
  /// Opens parts of the known families.
  package init(
    _ slots: [Slot], _ paths: ModelPaths, hints: ArchitectureHints
  ) throws(ModelFileError) {
    try self.init(paths, hints: hints, in: .known) { _ throws(ModelFileError) in slots }
  }
}

extension ModelInspection {
  package init(path: String) throws(ModelFileError) { try self.init(path: path, in: .known) }
}

extension ImportanceMatrix {
  package static func canonicalNames(_ name: String) -> [String] {
    FamilyCatalog.known.canonicalNames(name)
  }

  package init(path: String) throws(ModelFileError) { try self.init(path: path, in: .known) }
}

extension PartSelection {
  package static let transformer = PartSelection.part(AuraFlow.transformer.option)
  package static let textEncoder = PartSelection.part(AuraFlow.textEncoder.option)
  package static let autoencoder = PartSelection.part(AuraFlow.autoencoder.option)
}

extension ConversionSource {
  package init(
    _ selection: PartSelection, paths: ModelPaths, hints: ArchitectureHints
  ) throws(ModelFileError) {
    try self.init(selection, paths: paths, hints: hints, in: .known)
  }
}

extension ModelPreset {
  package static let auraFlowV03 = AuraFlow.family.presets[0]
  package static let auraFlowV02 = AuraFlow.family.presets[1]
  package static let tiny = AuraFlow.family.presets[3]

  /// Parameters of one part.
  package func parameterCount(_ part: Slot) throws -> Int {
    try parts.filter { $0.slot == part }.reduce(0) { $0 + (try $1.parameterCount()) }
  }
}

extension SyntheticModel {
  package init(_ preset: ModelPreset, type: ElementType, seed: UInt64) throws(ModelFileError) {
    try self.init(preset, of: AuraFlow.family, in: .known, type: type, seed: seed)
  }
}
