import ModelFiles

/// What is known of a network as data: how files name its tensors, what each of them is for, what
/// tensors do not tell. Written beside the network; families share it.
package struct NetworkDescription: Sendable {
  /// The library whose files the network is published as.
  package enum Library: String, Sendable {
    case diffusers
    case transformers

    /// What the library calls files of weights, without ending.
    package var weightsStem: String { self == .diffusers ? "diffusion_pytorch_model" : "model" }
  }

  /// Tells networks apart.
  package let id: String
  /// The same for networks whose tensors have the same names, of which only some tell them apart.
  package let kin: String
  package let library: Library
  /// The class that `model_index.json` names.
  package let className: String
  /// Other names that `config.json` may have for it, as `model_type`.
  package let modelTypes: [String]
  /// `general.architecture` of a GGUF file with this network by itself.
  package let architecture: String
  /// Its namings: ours first.
  package let tables: [NameTable]
  /// Namings that only adapters have.
  package let adapterTables: [NameTable]
  /// Index of the naming that folders have.
  private let folderTable: Int
  /// The only prefixes under which it is looked for, since its names are short; nil for any.
  package let prefixes: [String]?
  /// Tensors that networks with similar names do not have, of which every file of it has one; empty
  /// where the names themselves are enough.
  package let distinguishing: [String]
  /// What tensors are for; the first rule that fits counts.
  package let roles: [RoleRule]
  /// Whose rules for mixes of types it follows; nil for networks that are never quantized.
  package let convention: QuantizationConvention?
  /// What tensors do not tell.
  package private(set) var settings: [Setting]
  /// Ends of the names that token embeddings have in files: published models pad them with zeros.
  package let tokenTables: [String]
  /// Ends of the names of all tables of which rows are looked up: tools do not scale them.
  package let lookupTables: [String]
  /// Beginnings of our names of what is not run, and may be missing.
  package let idleParts: [String]
  /// Opens the network, which checks the name and shape of every tensor.
  package let open: @Sendable (PartSource) throws(ModelFileError) -> NetworkFacts
  /// Checks what `open` leaves out: parts that are not run but are in the file.
  package let checkIdleParts: @Sendable (PartSource) throws(ModelFileError) -> Void

  package init(
    id: String, kin: String? = nil, library: Library, className: String, modelTypes: [String] = [],
    architecture: String, tables: [NameTable], adapterTables: [NameTable] = [],
    folderTable: Int = 1, prefixes: [String]? = nil,
    distinguishing: [String] = [], roles: [RoleRule], convention: QuantizationConvention? = nil,
    settings: [Setting] = [], tokenTables: [String] = [], lookupTables: [String] = [],
    idleParts: [String] = [],
    open: @escaping @Sendable (PartSource) throws(ModelFileError) -> NetworkFacts,
    checkIdleParts: @escaping @Sendable (PartSource) throws(ModelFileError) -> Void = { _ in }
  ) {
    self.id = id
    self.kin = kin ?? id
    self.library = library
    self.className = className
    self.modelTypes = modelTypes
    self.architecture = architecture
    self.tables = tables
    self.adapterTables = adapterTables
    self.folderTable = folderTable
    self.prefixes = prefixes
    self.distinguishing = distinguishing
    self.roles = roles
    self.convention = convention
    self.settings = settings
    self.tokenTables = tokenTables
    self.lookupTables = lookupTables
    self.idleParts = idleParts
    self.open = open
    self.checkIdleParts = checkIdleParts
  }

  /// The network with the values that a family's published model has.
  ///
  /// - Parameter values: by keys of settings.
  /// - Returns: the description for the family.
  package func publishing(_ values: [String: Double]) -> NetworkDescription {
    var result = self
    result.settings = settings.map { setting in
      values[setting.key].map(setting.publishing) ?? setting
    }
    return result
  }

  /// The setting as this description has it, with the family's value.
  package func described(_ setting: Setting) -> Setting {
    settings.first { $0.key == setting.key } ?? setting
  }

  /// The tensors that one of ours is in a folder, in the order of our rows: their names, and which
  /// rows they have.
  ///
  /// - Parameters:
  ///   - name: our name.
  ///   - levels: levels of an autoencoder, whose decoder diffusers counts from the other end.
  /// - Returns: diffusers' or Hugging Face's names; ours for a name that the scheme does not have.
  package func inFolder(
    _ name: String, levels: Int = 0
  ) -> [(name: String, rowOrder: NameRule.RowOrder)] {
    let found = tables[folderTable].foreign(of: name, levels: levels)
    return found.isEmpty ? [(name, .asStored)] : found
  }

  /// Levels that folders count from the other end, judged by our names of all tensors.
  package func levelCount(of names: some Sequence<String>) -> Int {
    tables[folderTable].levelCount(of: names)
  }

  /// Whether a stored name is that of a token embedding.
  package func isTokenTable(_ name: String) -> Bool {
    tokenTables.contains(where: name.hasSuffix)
  }

  /// Whether a stored name is that of a table of which rows are looked up.
  func isLookupTable(_ name: String) -> Bool {
    lookupTables.contains(where: name.hasSuffix)
  }
}
