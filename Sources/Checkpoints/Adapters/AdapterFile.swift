import ModelFiles
import StrictJSON
import Synchronization

/// An adapter's file: its tensors by the modules that they are for.
package struct AdapterFile: Sendable {
  /// The file, as it is named in messages.
  let path: String
  let strength: Float
  let archive: TensorArchive
  /// In the order of the file.
  package let modules: [AdapterModule]
  private let scales: AdapterScales
  private let uses = AdapterUses()

  /// Names that folders of PEFT and diffusers have for an adapter.
  private static let names = ["adapter_model.safetensors", "pytorch_lora_weights.safetensors"]
  /// Strengths beyond this make noise of every picture, and overflow half precision.
  private static let strengths = -100.0...100.0

  /// Opens a file, or the one in a folder.
  ///
  /// - Parameters:
  ///   - adapter: where it is, and its strength.
  ///   - access: how the tensors' bytes are accessed.
  /// - Throws: `ModelFileError` if it cannot be opened, is no adapter, or of a kind that is not
  ///   applied.
  package init(_ adapter: AdapterPath, access: FileAccess) throws(ModelFileError) {
    guard Self.strengths.contains(adapter.strength) else {
      throw ModelFileError(
        path: adapter.path, kind: .contradicted,
        fault: "the strength \(adapter.strength) is not a number in -100...100")
    }
    path = try Self.file(at: adapter.path)
    strength = Float(adapter.strength)
    archive = try TensorArchive(path: path, access: access)
    modules = try Self.modules(of: archive)
    scales = try Self.scales(of: archive, path: path)
  }

  /// Sorts tensors by the modules that they are for. Those of none are among `unusedTensors`.
  private static func modules(
    of archive: TensorArchive
  ) throws(ModelFileError) -> [AdapterModule] {
    let records = archive.tensors.records
    var places: [String: Int] = [:]
    var modules: [AdapterModule] = []
    func add(_ role: AdapterRole, _ index: Int, to base: String) throws(ModelFileError) {
      let place = places[base] ?? modules.count
      if place == modules.count {
        places[base] = place
        modules.append(AdapterModule(name: base))
      }
      if let other = modules[place].entries.updateValue(index, forKey: role) {
        throw archive.malformed(
          "tensors '\(records[other].name)' and '\(records[index].name)' say the same of one "
            + "module: expected one of them")
      }
    }
    var rest: [Int] = []
    for (index, record) in records.enumerated() {
      guard let key = AdapterKey(record.name) else {
        rest.append(index)
        continue
      }
      try expectApplied(key, record, archive)
      try add(key.role, index, to: key.base)
    }
    for index in rest {
      let name = records[index].name
      let base = name.hasSuffix(".weight") ? String(name.dropLast(".weight".count)) : ""
      if let place = places[base], modules[place].entries[.onInput] != nil {
        try add(.factors, index, to: base)
      }
    }
    return modules
  }

  private static func file(at path: String) throws(ModelFileError) -> String {
    guard FileSystem.isFolder(path) else { return path }
    for name in names {
      let file = FileSystem.join(path, name)
      if FileSystem.exists(file) { return file }
    }
    throw ModelFileError(
      path: path, kind: .notFound,
      fault: "is a folder without \(names.joined(separator: " or ")): name the adapter's file")
  }

  private static func expectApplied(
    _ key: AdapterKey, _ record: TensorRecord, _ archive: TensorArchive
  ) throws(ModelFileError) {
    guard key.role.isRefused else { return }
    throw ModelFileError(
      path: archive.path, kind: .unsupported,
      fault: "tensor '\(record.name)' is of \(key.role.rawValue), which is not applied: expected "
        + "LoRA, DoRA, LoHa, LoKr, IA3 or differences; take a model that the adapter is merged "
        + "into")
  }

  private static func scales(
    of archive: TensorArchive, path: String
  ) throws(ModelFileError) -> AdapterScales {
    let text = archive.safetensorsMetadata.first { $0.key == "lora_adapter_metadata" }?.value
    if let text {
      let json: JSONValue
      do throws(JSONError) {
        json = try JSONValue(parsing: text)
      } catch {
        throw archive.malformed("metadata 'lora_adapter_metadata': \(error)")
      }
      return try AdapterScales(json, isPrefixed: true, path: path)
    }
    guard FileSystem.name(of: path) == names[0],
      let file = try ConfigurationFile.ifPresent(
        ModelFolder.join(ModelFolder.folder(of: path), "adapter_config.json"))
    else { return .none }
    return try AdapterScales(file.json, isPrefixed: false, path: file.path)
  }

  /// The factor of a module's term before the user's strength.
  ///
  /// - Parameters:
  ///   - module: of this file.
  ///   - rank: as it is stored; nil where nothing is of low rank, which makes alpha void.
  /// - Returns: `alpha / rank`, or what PEFT's configuration says, else 1.
  /// - Throws: `ModelFileError` for an alpha that is not a finite number.
  func factor(of module: AdapterModule, rank: Int?) throws(ModelFileError) -> Float {
    var factor = 1.0
    if let index = use(.alpha, of: module) {
      let alpha = try archive.scalar(of: index)
      // LyCORIS takes 0 for the rank.
      if let rank, rank > 0, alpha != 0 { factor = alpha / Double(rank) }
    } else {
      factor = scales.factor(of: module.name, rank: rank)
    }
    guard Float(factor).isFinite else {
      throw malformed("the scale of module '\(module.name)' is \(factor), expected a float32")
    }
    return Float(factor)
  }

  func malformed(_ fault: String) -> ModelFileError { archive.malformed(fault) }

  // MARK: What has an effect

  /// Finds a tensor of a module for something that has an effect: what nobody finds is told.
  func use(_ role: AdapterRole, of module: AdapterModule) -> Int? {
    guard let index = module.entries[role] else { return nil }
    uses.add(index)
    return index
  }

  /// Tensors that nothing was made of, in the order of the file: of no module, of one that the
  /// model does not have, or beside others that leave them nothing to do. Known when the model's
  /// networks are opened.
  package var unusedTensors: [Int] {
    let used = uses.indices
    return archive.tensors.records.indices.filter { !used.contains($0) }
  }
}

/// Which tensors of an adapter were found by what applies them.
private final class AdapterUses: Sendable {
  private let found = Mutex<Set<Int>>([])

  func add(_ index: Int) { found.withLock { _ = $0.insert(index) } }
  var indices: Set<Int> { found.withLock { $0 } }
}

/// The tensors of an adapter that are for one module.
package struct AdapterModule: Sendable {
  /// As the file has it.
  package let name: String
  /// Places in the archive by what the tensors are.
  var entries: [AdapterRole: Int] = [:]
}

extension TensorArchive {
  fileprivate func malformed(_ fault: String) -> ModelFileError {
    ModelFileError(path: path, kind: .malformed, fault: fault)
  }

  /// The number that a tensor of one element holds, whatever its type.
  ///
  /// - Throws: `ModelFileError` if it holds several, or one that is not finite.
  func scalar(of index: Int) throws(ModelFileError) -> Double {
    let record = tensors.records[index]
    guard record.elementCount == 1 else {
      throw malformed(
        "tensor '\(record.name)' has shape \(record.shape), expected a single number")
    }
    let bytes = try copy(of: index)
    let value: Double? = bytes.withUnsafeBytes { bytes in
      switch record.type {
      case .f64: Double(bitPattern: UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)))
      case .i64: Double(Int64(littleEndian: bytes.loadUnaligned(as: Int64.self)))
      case .i32: Double(Int32(littleEndian: bytes.loadUnaligned(as: Int32.self)))
      case .i16: Double(Int16(littleEndian: bytes.loadUnaligned(as: Int16.self)))
      case .i8: Double(bytes.loadUnaligned(as: Int8.self))
      case .u8, .bool: Double(bytes.loadUnaligned(as: UInt8.self))
      default: nil
      }
    }
    var number = value
    if number == nil, record.type.isWeightType {
      number = try values(of: index).first.map { Double($0) }
    }
    guard let number, number.isFinite else {
      throw malformed(
        "tensor '\(record.name)' of type \(record.type.name) holds no finite number, expected one")
    }
    return number
  }
}
