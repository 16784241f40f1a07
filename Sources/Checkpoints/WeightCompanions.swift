import BlockFormats
import ModelFiles
import StrictJSON

/// What lies beside the weights of a checkpoint and changes what they mean: scales, zero points,
/// biases that the architecture does not have, adapters that were never merged.
///
/// Each is applied, or the checkpoint is refused with its name; none is ever skipped. Companions
/// are known by their place: their names go on where that of a weight's module ends.
struct WeightCompanions: Sendable {
  /// By the place of a weight, that of its scale.
  private(set) var scales: [Int: Int] = [:]
  /// Weights whose numbers are of another type than the file says (fp8 in a container of bytes).
  private(set) var types: [Int: ElementType] = [:]
  /// Companions that are applied, or change nothing: explained, though no part has them.
  private(set) var explained: Set<Int> = []
  /// Companions that are refused.
  private(set) var refused: Set<Int> = []
  /// For each part, by its index, the first that can be neither; under nil for the whole archive.
  private(set) var faults: [Int?: ModelFileError] = [:]
  /// Matrices of fp8 without a scale, in parts where others have one. ComfyUI takes them as they
  /// are, so it is not a fault, but their scale may have been lost.
  private(set) var unscaled: [Int] = []
  /// Weights that must have a scale, with what says so. Others without one are as they are, as
  /// ComfyUI takes them.
  private var described: [(weight: Int, evidence: String)] = []

  /// For each tensor the index of the part that has it.
  private let owners: [Int?]

  /// Scales of weights: ComfyUI's, and that of diffusers, ModelOpt and newer ComfyUI.
  private static let scaleNames = ["scale_weight", "weight_scale"]
  /// Facts about activations, which are not quantized to fp8 here.
  private static let harmlessNames = [
    "scale_input", "input_scale", "input_scale_ub", "output_scale", "scaled_fp8",
  ]
  /// Layers' formats in ComfyUI's words, with the type of their numbers.
  private static let formats: [String: ElementType] = [
    "float8_e4m3fn": .f8_e4m3, "float8_e5m2": .f8_e5m2, "float8_e4m3": .f8_e4m3,
  ]
  /// Maximum number of components of a name that are taken away to find the weight it lies beside.
  private static let maximumDepth = 16
  /// Longest description of a layer, in bytes.
  private static let maximumDescription = 4096

  /// - Parameters:
  ///   - archive: an opened checkpoint.
  ///   - places: the parts in it.
  ///   - owners: for each tensor the index of the part that has it.
  init(_ archive: TensorArchive, _ places: [PartLocation], owners: [Int?]) {
    self.owners = owners
    let records = archive.tensors.records
    var weights: [ExactName: Int] = [:]
    var modules: [ExactName: Int] = [:]
    for (index, record) in records.enumerated() where owners[index] != nil {
      weights[ExactName(record.name)] = index
      for ending in [".weight", ".bias"] where record.name.hasSuffix(ending) {
        let module = ExactName(String(record.name.dropLast(ending.count)))
        if ending == ".weight" || modules[module] == nil { modules[module] = index }
      }
    }
    for (index, record) in records.enumerated() where owners[index] == nil {
      guard let (weight, name) = Self.owner(of: record.name, weights, modules) else { continue }
      add(index, named: name, to: weight, archive)
      if !explained.contains(index) { refused.insert(index) }
    }
    addLayerFormats(modules, archive)
    findUnscaled(archive, places)
    for (weight, evidence) in described where scales[weight] == nil {
      refuse(
        archive, records[weight], of: weight,
        "is fp8 without its scale ('weight_scale'), though \(evidence)")
    }
  }

  /// The weight that a tensor lies beside, and what follows the name of the weight's module.
  private static func owner(
    of name: String, _ weights: [ExactName: Int], _ modules: [ExactName: Int]
  ) -> (weight: Int, name: String)? {
    // No weight has a name of half this length.
    guard !weights.isEmpty, name.utf8.count <= 1024 else { return nil }
    var end = name.endIndex
    var steps = 0
    while let dot = name.utf8[..<end].lastIndex(of: UInt8(ascii: ".")), steps < maximumDepth {
      steps += 1
      let front = ExactName(String(name[..<dot]))
      let rest = String(name[name.index(after: dot)...])
      if let weight = weights[front] { return (weight, "weight." + rest) }
      if let weight = modules[front] { return (weight, rest) }
      end = dot
    }
    // Parameters that are not the weight of a module: 'register_tokens_scale'.
    end = name.endIndex
    while let line = name.utf8[..<end].lastIndex(of: UInt8(ascii: "_")), steps < 2 * maximumDepth {
      steps += 1
      if let weight = weights[ExactName(String(name[..<line]))] {
        return (weight, String(name[name.index(after: line)...]))
      }
      end = line
    }
    return nil
  }

  // MARK: One companion

  private mutating func add(
    _ index: Int, named name: String, to weight: Int, _ archive: TensorArchive
  ) {
    let record = archive.tensors.records[index]
    switch name {
    case _ where Self.scaleNames.contains(name):
      if let other = scales[weight] {
        return refuse(
          archive, record, of: weight,
          "is a second scale of '\(archive.tensors.records[weight].name)' beside "
            + "'\(archive.tensors.records[other].name)'")
      }
      addScale(index, to: weight, archive)
    case _ where Self.harmlessNames.contains(name):
      explained.insert(index)
      let type = archive.tensors.records[weight].type
      if name == "input_scale" || name == "scale_input", type == .f8_e4m3 || type == .f8_e5m2 {
        described.append((weight, "'\(record.name)' says that it is scaled"))
      }
    case "comfy_quant": addDescription(index, of: weight, archive)
    case "bias":
      refuse(
        archive, record, of: weight,
        "is a bias that this layer does not have: the model is of another kind")
    default: refuse(archive, record, of: weight, Self.meaning(of: name))
    }
  }

  /// What a companion that cannot be applied is.
  private static func meaning(of name: String) -> String {
    let small = name.lowercased()
    if small.contains("lora") || small.contains("hada_") || small.contains("lokr_") {
      return "is an adapter that was not merged into the weight beside it"
    }
    if small.contains("zero") {
      return "is a zero point of the weight beside it, which is not applied"
    }
    if small.contains("scale") {
      return
        "is a scale of the weight beside it (scaled fp8 or another quantization) in a form that "
        + "is not applied: expected one number, or one a row, called 'weight_scale' or 'scale_weight'"
    }
    return "lies beside a weight that is used and may change what it means"
  }

  private mutating func addScale(_ index: Int, to weight: Int, _ archive: TensorArchive) {
    let (scale, record) = (archive.tensors.records[index], archive.tensors.records[weight])
    let rows = record.shape.count > 1 ? record.shape[0] : 1
    let isNumber = scale.elementCount == 1
    let isColumn =
      scale.elementCount == rows && scale.shape.first == rows
      && scale.shape.dropFirst().allSatisfy { $0 == 1 }
    guard scale.type.isWeightType, !scale.type.isBlockQuantized, isNumber || isColumn else {
      return refuse(
        archive, scale, of: weight,
        "is the scale of '\(record.name)' (scaled fp8) and has shape \(scale.shape) and type "
          + "\(scale.type.name): expected one number, or one for each of its \(rows) rows")
    }
    guard !record.type.isBlockQuantized, record.type.isWeightType || record.type == .u8 else {
      return refuse(
        archive, scale, of: weight,
        "is a scale of '\(record.name)', which has type \(record.type.name): expected fp8")
    }
    scales[weight] = index
    explained.insert(index)
  }

  /// A line of JSON in a tensor of bytes, as ComfyUI writes it beside each quantized weight.
  private mutating func addDescription(
    _ index: Int, of weight: Int, _ archive: TensorArchive
  ) {
    let record = archive.tensors.records[index]
    let evidence = "'\(record.name)'"
    guard record.byteCount <= Self.maximumDescription, let bytes = try? archive.copy(of: index),
      let json = bytes.withUnsafeBytes({ try? JSONValue(parsing: $0) })
    else {
      return refuse(
        archive, record, of: weight, "describes a quantized weight, but is not JSON")
    }
    explained.insert(index)
    setFormat(json, of: weight, archive, evidence: evidence)
  }

  private mutating func setFormat(
    _ json: JSONValue, of weight: Int, _ archive: TensorArchive, evidence: String
  ) {
    let record = archive.tensors.records[weight]
    guard let type = Self.floatType(json) else {
      return refuseFormat(json, of: owners[weight], archive, evidence)
    }
    if record.type == .u8 || record.type == type {
      described.append((weight, "\(evidence) says that it is scaled"))
    }
    if record.type == .u8 {
      types[weight] = type
    } else if record.type != type, record.type == .f8_e4m3 || record.type == .f8_e5m2 {
      refuse(
        archive, record, of: weight, "has type \(record.type.name), \(evidence) says \(type.name)")
    }
  }

  /// The type of the numbers of a layer by its description; nil if it is more than scaled fp8.
  private static func floatType(_ json: JSONValue) -> ElementType? {
    guard json["convrot"]?.boolValue != true else { return nil }
    return json["format"]?.stringValue.flatMap { formats[$0] }
  }

  private mutating func refuseFormat(
    _ json: JSONValue, of part: Int?, _ archive: TensorArchive, _ evidence: String
  ) {
    let format = json["format"]?.stringValue ?? "no format"
    note(
      ForeignQuantization.error(archive.path, "ComfyUI (\(format.prefix(40)))", evidence), of: part)
  }

  private mutating func refuse(
    _ archive: TensorArchive, _ record: TensorRecord, of weight: Int, _ why: String
  ) {
    note(
      ModelFileError(
        path: archive.path, kind: .malformed,
        fault:
          "tensor '\(record.name)' of shape \(record.shape) is unexpected: it \(why); take the "
          + "fp16 or bf16 version of the model, or a GGUF"), of: owners[weight])
  }

  /// Keeps the first fault of each part.
  private mutating func note(_ fault: ModelFileError, of part: Int?) {
    if faults[part] == nil { faults[part] = fault }
  }

  private mutating func findUnscaled(_ archive: TensorArchive, _ places: [PartLocation]) {
    let records = archive.tensors.records
    let scaled = Set(scales.keys.compactMap { owners[$0] })
    let small = records.indices.filter { index in
      let record = records[index]
      guard let owner = owners[index] else { return false }
      return (record.type == .f8_e4m3 || record.type == .f8_e5m2)
        && record.shape.count == 2 && scales[index] == nil
        && !places[owner].network.isLookupTable(record.name)
    }
    unscaled = small.filter { owners[$0].map(scaled.contains) ?? false }
    // ComfyUI's mark of parts in which every matrix is scaled stands above their names.
    let mark = "scaled_fp8"
    for marker in records where marker.name == mark || marker.name.hasSuffix("." + mark) {
      let beginning = marker.name.dropLast(mark.count)
      for part in places.indices where !scaled.contains(part) {
        guard
          let first = small.first(where: {
            owners[$0] == part && records[$0].name.hasPrefix(beginning)
          })
        else { continue }
        described.append((first, "'\(marker.name)' says that all are scaled"))
      }
    }
  }

  // MARK: Headers

  /// Takes the formats of layers from the headers' `_quantization_metadata`, ComfyUI's list.
  private mutating func addLayerFormats(_ modules: [ExactName: Int], _ archive: TensorArchive) {
    let key = "_quantization_metadata"
    let texts = archive.metadataTexts(key)
    guard !texts.isEmpty else { return }
    // Some tools leave out what stands before the part's names.
    var byEnding: [Substring: Int] = [:]
    for (module, weight) in modules.sorted(by: { $0.value < $1.value }) {
      for start in Self.beginnings(of: module.text) where byEnding[start] == nil {
        byEnding[start] = weight
      }
    }
    for text in texts {
      guard let json = Array(text.utf8).withUnsafeBytes({ try? JSONValue(parsing: $0) }),
        case .object(let layers)? = json["layers"]
      else {
        note(
          ModelFileError(
            path: archive.path, kind: .malformed,
            fault:
              "metadata '\(key)', which says how weights are quantized, has no 'layers' in JSON: "
              + "take the fp16 or bf16 version of the model, or a GGUF"), of: nil)
        return
      }
      for layer in layers {
        if let weight = modules[ExactName(layer.key)] ?? byEnding[layer.key[...]] {
          setFormat(layer.value, of: weight, archive, evidence: "metadata '\(key)'")
        } else if Self.floatType(layer.value) == nil {
          refuseFormat(layer.value, of: nil, archive, "metadata '\(key)'")
        }
      }
    }
  }

  /// What is left of a name without its first components, a few at most.
  private static func beginnings(of name: String) -> [Substring] {
    var rest = name[...]
    var found: [Substring] = []
    while found.count < 4, let dot = rest.utf8.firstIndex(of: UInt8(ascii: ".")) {
      rest = rest[rest.utf8.index(after: dot)...]
      found.append(rest)
    }
    return found
  }
}
