import StrictJSON

/// The tensors of one checkpoint file, or of a sharded set behind an index, as one table.
public struct TensorArchive: Sendable {
  /// The container that holds the tensors.
  public enum Format: String, Sendable {
    case gguf = "GGUF"
    case safetensors = "safetensors"
    case shardedSafetensors = "sharded safetensors"
  }

  /// The path that was opened: the file, or the index of a sharded set.
  public let path: String
  /// The container format.
  public let format: Format
  /// Every tensor with its place in its own file.
  public let tensors: TensorTable
  /// The opened GGUF file, where the archive is one.
  public let gguf: GGUFFile?
  /// The `__metadata__` texts of a safetensors file (of all shards together).
  public let safetensorsMetadata: [(key: String, value: String)]
  /// The files, and for each tensor the one that holds it.
  package let files: [MappedFile]
  private let fileOfTensor: [Int]

  /// Total size of the files.
  public var byteCount: Int { files.reduce(0) { $0 + $1.bytes.count } }

  /// Opens a GGUF file, a safetensors file or a safetensors index, told apart by content.
  ///
  /// - Throws: `ModelFileError` with the first fault that was found.
  public init(path: String) throws(ModelFileError) {
    let file = try MappedFile(path: path)
    if GGUFFile.isGGUF(file) {
      self.init(gguf: try GGUFFile(file))
    } else if Self.looksLikeIndex(file) {
      try self.init(index: file)
    } else if SafetensorsFile.looksLikeSafetensors(file) || path.hasSuffix(".safetensors") {
      self.init(safetensors: try SafetensorsFile(file))
    } else {
      throw Self.unknownFormat(of: file)
    }
  }

  private init(gguf: GGUFFile) {
    path = gguf.file.path
    format = .gguf
    tensors = gguf.tensors
    self.gguf = gguf
    safetensorsMetadata = []
    files = [gguf.file]
    fileOfTensor = Array(repeating: 0, count: gguf.tensors.records.count)
  }

  private init(safetensors: SafetensorsFile) {
    path = safetensors.file.path
    format = .safetensors
    tensors = safetensors.tensors
    gguf = nil
    safetensorsMetadata = safetensors.metadata
    files = [safetensors.file]
    fileOfTensor = Array(repeating: 0, count: safetensors.tensors.records.count)
  }

  private init(index file: MappedFile) throws(ModelFileError) {
    let index = try SafetensorsIndex(file)
    var shards: [ExactName: (position: Int, shard: SafetensorsFile)] = [:]
    var seenKeys: Set<ExactName> = []
    var files: [MappedFile] = []
    var metadata: [(key: String, value: String)] = []
    var records: [TensorRecord] = []
    var fileOfTensor: [Int] = []
    for (tensor, name) in index.shardByTensor {
      let key = ExactName(name)
      if shards[key] == nil {
        let mapped = try MappedFile(path: Self.neighbour(of: file.path, named: name))
        let shard = try SafetensorsFile(mapped)
        shards[key] = (files.count, shard)
        files.append(mapped)
        for pair in shard.metadata where seenKeys.insert(ExactName(pair.key)).inserted {
          metadata.append(pair)
        }
      }
      guard let (position, shard) = shards[key] else { continue }
      guard let found = shard.tensors.index(of: tensor) else {
        throw file.malformed("tensor '\(tensor)' should lie in '\(name)', which does not have it")
      }
      records.append(shard.tensors.records[found])
      fileOfTensor.append(position)
    }
    let table: TensorTable
    switch TensorTable.make(records) {
    case .success(let made): table = made
    case .failure(let duplicate):
      throw file.malformed("tensor '\(duplicate.name)' occurs twice in 'weight_map'")
    }
    path = file.path
    tensors = table
    format = .shardedSafetensors
    gguf = nil
    safetensorsMetadata = metadata
    self.files = files
    self.fileOfTensor = fileOfTensor
  }

  /// The bytes of a tensor, by its index in `tensors.records`, with the file that keeps them mapped.
  package func contents(of index: Int) -> (bytes: UnsafeRawBufferPointer, file: MappedFile) {
    let record = tensors.records[index]
    let file = files[fileOfTensor[index]]
    guard record.byteCount > 0 else {
      return (UnsafeRawBufferPointer(start: nil, count: 0), file)
    }
    let range = record.byteOffset..<record.byteOffset + record.byteCount
    return (UnsafeRawBufferPointer(rebasing: file.bytes[range]), file)
  }

  // MARK: Telling formats apart

  private static func looksLikeIndex(_ file: MappedFile) -> Bool {
    if file.path.hasSuffix(".index.json") || file.path.hasSuffix(".json") { return true }
    return file.bytes.first == UInt8(ascii: "{")
      && !SafetensorsFile.looksLikeSafetensors(file)
  }

  private static func unknownFormat(of file: MappedFile) -> ModelFileError {
    if file.bytes.isEmpty { return file.malformed("is empty") }
    if file.bytes.prefix(2).elementsEqual("PK".utf8) || file.bytes[0] == 0x80 {
      return file.malformed(
        "is a PyTorch pickle, which can run code when opened; "
          + "convert it to safetensors with its author's tools")
    }
    if file.bytes.prefix(7).elementsEqual("version".utf8) {
      return file.malformed("is a Git LFS pointer, not the model: run 'git lfs pull'")
    }
    return file.malformed("is neither GGUF nor safetensors")
  }

  private static func neighbour(of path: String, named name: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return name }
    return path[...slash] + name
  }
}
