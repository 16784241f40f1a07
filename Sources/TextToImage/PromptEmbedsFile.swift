import Diffusion
import ModelFiles

/// Embeds in a safetensors file.
///
/// Tensors are called as diffusers calls the arguments of its pipelines and have the same shapes,
/// so that they can be passed to them: `prompt_embeds` `[1, tokens, width]`, its masked padding as
/// rows of zeros; `prompt_attention_mask` `[1, tokens]` in families that mask padding;
/// `pooled_prompt_embeds` `[1, width]` in families with a vector of the whole prompt; and the same
/// with `negative_` before them. Metadata: `embeds_version`, `family`, `prompt`, `negative_prompt`
/// and `prompt_weights`.
extension PromptEmbeds {
  /// The version of the format that is written.
  private static let version = "1"
  /// Most rows of a prompt, and most elements of a row or a vector.
  private static let mostRows = 4096
  private static let mostColumns = 1 << 14

  /// What the tensors of one text are called.
  private struct Names {
    let states, mask, pooled: String

    init(_ prefix: String) {
      states = prefix + "prompt_embeds"
      mask = prefix + "prompt_attention_mask"
      pooled = prefix + "pooled_prompt_embeds"
    }

    static let prompt = Names("")
    static let negativePrompt = Names("negative_")
    var all: [String] { [states, mask, pooled] }
  }

  // MARK: Writing

  /// The bytes of a safetensors file.
  public func safetensorsData() -> [UInt8] {
    let tensors =
      Self.tensors(encodedPrompt, .prompt)
      + (encodedNegativePrompt.map { Self.tensors($0, .negativePrompt) } ?? [])
    var metadata: [(key: String, value: String)] = [("embeds_version", Self.version)]
    func add(_ key: String, _ value: String?) {
      if let value { metadata.append((key, value)) }
    }
    add("family", family)
    add("prompt", prompt)
    add("negative_prompt", negativePrompt)
    add("prompt_weights", promptWeights == .off ? nil : promptWeights.rawValue)
    return SafetensorsWriter.encode(tensors, metadata: metadata)
  }

  private static func tensors(
    _ embedding: PromptEmbedding, _ names: Names
  ) -> [SafetensorsWriter.FloatTensor] {
    let (width, rows, padded) = (embedding.width, embedding.tokenCount, embedding.paddedCount)
    let padding = [Float](repeating: 0, count: (padded - rows) * width)
    var tensors = [
      SafetensorsWriter.FloatTensor(
        name: names.states, shape: [1, padded, width], values: embedding.states + padding)
    ]
    // Without a vector of the whole prompt there is always a mask, as in the reference.
    if embedding.pooled == nil || padded > rows {
      tensors.append(
        .init(
          name: names.mask, shape: [1, padded], values: (0..<padded).map { $0 < rows ? 1 : 0 }))
    }
    if let pooled = embedding.pooled {
      tensors.append(.init(name: names.pooled, shape: [1, pooled.count], values: pooled))
    }
    return tensors
  }

  // MARK: Reading

  /// Reads a file that this program wrote, or the arguments of a diffusers pipeline.
  ///
  /// - Parameter path: the file.
  /// - Throws: `ModelFileError` if it is malformed or holds something else.
  public init(path: String) throws(ModelFileError) {
    let file = EmbedsFile(archive: try TensorArchive(path: path))
    let known = Names.prompt.all + Names.negativePrompt.all
    if let other = file.archive.tensors.records.first(where: { !known.contains($0.name) }) {
      throw file.fault(
        "tensor '\(other.name)' is none of embeds: expected \(known.joined(separator: ", "))")
    }
    if let version = file.text("embeds_version"), version != Self.version {
      throw ModelFileError(
        path: path, kind: .unsupported,
        fault: "holds embeds of version '\(version.prefix(40))', this program reads version "
          + "\(Self.version)")
    }
    guard let prompt = try Self.read(.prompt, of: file) else {
      throw file.fault("holds no tensor '\(Names.prompt.states)'")
    }
    self.init(
      prompt, negative: try Self.read(.negativePrompt, of: file), family: file.text("family"))
    self.path = path
    self.prompt = file.text("prompt")
    negativePrompt = file.text("negative_prompt")
    if let name = file.text("prompt_weights") {
      guard let weighting = PromptWeighting(rawValue: name) else {
        throw file.fault("its 'prompt_weights' are '\(name.prefix(40))', which is no grammar")
      }
      promptWeights = weighting
    }
  }

  private static func read(
    _ names: Names, of file: EmbedsFile
  ) throws(ModelFileError) -> PromptEmbedding? {
    guard let states = try file.matrix(names.states, dimensions: 2) else {
      for name in names.all where file.archive.tensors.index(of: name) != nil {
        throw file.fault("holds '\(name)' without '\(names.states)'")
      }
      return nil
    }
    let (rows, width) = (states.shape[0], states.shape[1])
    guard rows <= mostRows, width <= mostColumns else {
      throw file.fault(
        "tensor '\(names.states)' of shape \(states.shape): at most [\(mostRows), \(mostColumns)]")
    }
    let counts = try file.mask(names.mask, rows: rows, width: width)
    let values = try file.values(states)
    var kept: [Float] = []
    for (row, isCounted) in counts.enumerated() {
      let states = values[row * width..<(row + 1) * width]
      guard isCounted || states.allSatisfy({ $0 == 0 }) else {
        throw file.fault(
          "tensor '\(names.states)' has rows that are not zero where '\(names.mask)' is 0")
      }
      if isCounted { kept += states }
    }
    let pooled = try file.matrix(names.pooled, dimensions: 1)
    if let pooled, pooled.shape[0] > mostColumns {
      throw file.fault(
        "tensor '\(names.pooled)' of shape \(pooled.shape): at most [\(mostColumns)]")
    }
    // Without a vector or a mask nobody can tell padding from text.
    guard pooled != nil || file.archive.tensors.index(of: names.mask) != nil else {
      throw file.fault("holds '\(names.states)' and neither '\(names.mask)' nor '\(names.pooled)'")
    }
    let embedding = PromptEmbedding(
      states: kept, width: width, paddedCount: rows,
      pooled: try pooled.map { vector throws(ModelFileError) in try file.values(vector) })
    guard embedding.isFinite else {
      throw file.fault("tensor '\(names.states)' or its vector holds NaN or infinite values")
    }
    return embedding
  }
}

/// A file that should hold embeds.
private struct EmbedsFile {
  struct Tensor {
    let index: Int
    let shape: [Int]
  }

  let archive: TensorArchive

  func fault(_ text: String) -> ModelFileError {
    ModelFileError(path: archive.path, kind: .malformed, fault: text)
  }

  func text(_ key: String) -> String? { archive.metadataTexts(key).first }

  /// A tensor by its name, which may have a first dimension of 1.
  func matrix(_ name: String, dimensions: Int) throws(ModelFileError) -> Tensor? {
    guard let index = archive.tensors.index(of: name) else { return nil }
    let record = archive.tensors.records[index]
    let shape =
      record.shape.count == dimensions + 1 && record.shape[0] == 1
      ? Array(record.shape.dropFirst()) : record.shape
    guard record.type.isWeightType, shape.count == dimensions, record.elementCount > 0 else {
      let expected = dimensions == 1 ? "[1, width]" : "[1, tokens, width]"
      throw fault(
        "tensor '\(name)' of shape \(record.shape) and type \(record.type.name), expected "
          + "floating-point \(expected)")
    }
    return Tensor(index: index, shape: shape)
  }

  func values(_ tensor: Tensor) throws(ModelFileError) -> [Float] {
    try archive.values(of: tensor.index)
  }

  /// Which rows count: ones of a mask, all where there is none. Padding may come before the text:
  /// where it is masked, text has no positions. The reference's own masks have as many elements as
  /// the rows.
  func mask(_ name: String, rows: Int, width: Int) throws(ModelFileError) -> [Bool] {
    guard let index = archive.tensors.index(of: name) else {
      return Array(repeating: true, count: rows)
    }
    let record = archive.tensors.records[index]
    let isOfElements = record.elementCount == rows * width
    guard record.elementCount == rows || isOfElements, record.shape.count <= 3 else {
      throw fault("tensor '\(name)' of shape \(record.shape), expected [1, \(rows)]")
    }
    let flags = try flags(of: index, record)
    let step = isOfElements ? width : 1
    let counts = (0..<rows).map { flags[$0 * step] }
    guard counts.contains(true), flags.indices.allSatisfy({ flags[$0] == counts[$0 / step] }) else {
      throw fault("tensor '\(name)' leaves out every row, or parts of rows")
    }
    return counts
  }

  /// A mask of any type: which elements are not zero.
  private func flags(of index: Int, _ record: TensorRecord) throws(ModelFileError) -> [Bool] {
    if record.type.isWeightType { return try archive.values(of: index).map { $0 != 0 } }
    let bytes = try archive.copy(of: index)
    guard !bytes.isEmpty, bytes.count.isMultiple(of: record.elementCount) else {
      throw fault("tensor '\(record.name)' is of type \(record.type.name), expected numbers")
    }
    let size = bytes.count / record.elementCount
    return (0..<record.elementCount).map { place in
      bytes[place * size..<(place + 1) * size].contains { $0 != 0 }
    }
  }
}
