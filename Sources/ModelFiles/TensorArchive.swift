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
  /// Opened safetensors files, in the order of `files`; empty for GGUF.
  private let safetensors: [SafetensorsFile]
  /// Tensors at the end of `tensors` that lie in shards though the index does not list them.
  public let unlistedCount: Int

  /// Total size of the files.
  public var byteCount: Int { files.reduce(0) { $0 + $1.size } }

  /// Opens a GGUF file, a safetensors file or a safetensors index, told apart by content.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - access: how the tensors' bytes are got at.
  /// - Throws: `ModelFileError` with the first fault that was found.
  public init(path: String, access: FileAccess = .mmap) throws(ModelFileError) {
    let file = try MappedFile(path: path, access: access)
    if GGUFFile.isGGUF(file) {
      self.init(gguf: try GGUFFile(file))
    } else if Self.looksLikeIndex(file) {
      try self.init(index: file, access: access)
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
    safetensors = []
    fileOfTensor = Array(repeating: 0, count: gguf.tensors.records.count)
    unlistedCount = 0
  }

  private init(safetensors: SafetensorsFile) {
    path = safetensors.file.path
    format = .safetensors
    tensors = safetensors.tensors
    gguf = nil
    safetensorsMetadata = safetensors.metadata
    files = [safetensors.file]
    self.safetensors = [safetensors]
    fileOfTensor = Array(repeating: 0, count: safetensors.tensors.records.count)
    unlistedCount = 0
  }

  private init(index file: MappedFile, access: FileAccess) throws(ModelFileError) {
    let index = try SafetensorsIndex(file)
    var shards: [SafetensorsFile] = []
    for name in index.shards {
      shards.append(
        try SafetensorsFile(
          try Self.openShard(
            Self.neighbour(of: file.path, named: name), of: file.path, access: access)))
    }
    var records: [TensorRecord] = []
    var fileOfTensor: [Int] = []
    for (name, shard) in index.tensors {
      guard let found = shards[shard].tensors.index(of: name) else {
        throw file.malformed(
          "tensor '\(name)' should lie in '\(index.shards[shard])', which does not have it")
      }
      records.append(shards[shard].tensors.records[found])
      fileOfTensor.append(shard)
    }
    switch TensorTable.make(records) {
    case .success(let listed):
      tensors = try Self.addUnlisted(of: shards, to: listed, &fileOfTensor, index: file)
    case .failure(let duplicate):
      throw file.malformed("tensor '\(duplicate.name)' occurs twice in 'weight_map'")
    }
    var seenKeys: Set<ExactName> = []
    path = file.path
    unlistedCount = tensors.records.count - records.count
    format = .shardedSafetensors
    gguf = nil
    safetensorsMetadata = shards.flatMap(\.metadata).filter {
      seenKeys.insert(ExactName($0.key)).inserted
    }
    files = shards.map(\.file)
    safetensors = shards
    self.fileOfTensor = fileOfTensor
  }

  /// Adds the tensors that lie in shards though the index does not list them: the reference loads
  /// whole shards too. Of a name that the index lists, the copy that it means is enough.
  private static func addUnlisted(
    of shards: [SafetensorsFile], to listed: TensorTable, _ fileOfTensor: inout [Int],
    index file: MappedFile
  ) throws(ModelFileError) -> TensorTable {
    // Listed names differ and were found, so equal counts mean that nothing is left over.
    let count = shards.reduce(0) { $0 + $1.tensors.records.count }
    guard count > listed.records.count else { return listed }
    guard count <= TensorTable.maximumCount else {
      throw file.malformed(
        "its files hold \(count) tensors, more than \(TensorTable.maximumCount) tensors")
    }
    var records = listed.records
    for (position, shard) in shards.enumerated() {
      for record in shard.tensors.records where listed.index(of: record.name) == nil {
        records.append(record)
        fileOfTensor.append(position)
      }
    }
    switch TensorTable.make(records) {
    case .success(let table): return table
    case .failure(let duplicate):
      throw file.malformed(
        "tensor '\(duplicate.name)' lies in two files and 'weight_map' does not say which counts")
    }
  }

  /// For each tensor the hash that its file holds of it; nil where it holds none.
  ///
  /// - Throws: `ModelFileError` if a file's hashes are malformed or of other tensors.
  package func tensorHashes() throws(ModelFileError) -> [UInt64?] {
    if let gguf {
      let hashes = try gguf.tensorHashes()
      return tensors.records.indices.map { index in hashes.flatMap { $0[index].nonZero } }
    }
    var hashes: [[UInt64]?] = []
    for file in safetensors { hashes.append(try file.tensorHashes()) }
    return tensors.records.indices.map { index in
      let file = fileOfTensor[index]
      guard let known = hashes[file],
        let place = safetensors[file].tensors.index(of: tensors.records[index].name)
      else { return nil }
      return known[place].nonZero
    }
  }

  /// The file that holds a tensor, by its index in `tensors.records`.
  package func file(of index: Int) -> MappedFile { files[fileOfTensor[index]] }

  /// The bytes of a tensor of a file that is mapped as a whole, with the file that keeps them
  /// mapped; of other files, only of tensors in their mapped front.
  package func contents(of index: Int) -> (bytes: UnsafeRawBufferPointer, file: MappedFile) {
    let record = tensors.records[index]
    let file = file(of: index)
    let range = record.byteOffset..<record.byteOffset + record.byteCount
    guard record.byteCount > 0, range.upperBound <= file.bytes.count else {
      return (UnsafeRawBufferPointer(start: nil, count: 0), file)
    }
    return (UnsafeRawBufferPointer(rebasing: file.bytes[range]), file)
  }

  /// A copy of a small tensor's bytes.
  ///
  /// - Throws: `ModelFileError` if the file cannot be read.
  package func copy(of index: Int) throws(ModelFileError) -> [UInt8] {
    let record = tensors.records[index]
    let range = record.byteOffset..<record.byteOffset + record.byteCount
    let content = try file(of: index).content(range)
    return withExtendedLifetime(content) {
      [UInt8](UnsafeRawBufferPointer(start: content.pointer, count: range.count))
    }
  }

  /// The values of a small tensor of a decodable type.
  ///
  /// - Throws: `ModelFileError` if the file cannot be read.
  package func values(of index: Int) throws(ModelFileError) -> [Float] {
    let record = tensors.records[index]
    guard record.elementCount > 0 else { return [] }
    let bytes = try copy(of: index)
    return [Float](unsafeUninitializedCapacity: record.elementCount) { values, count in
      bytes.withUnsafeBytes { bytes in
        if let source = bytes.baseAddress, let target = values.baseAddress {
          record.type.decode(source, count: record.elementCount, into: target)
          count = record.elementCount
        }
      }
    }
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

  private static func openShard(
    _ path: String, of index: String, access: FileAccess
  ) throws(ModelFileError) -> MappedFile {
    do throws(ModelFileError) {
      return try MappedFile(path: path, access: access)
    } catch {
      guard error.kind == .notFound else { throw error }
      throw ModelFileError(
        path: path, kind: .notFound,
        fault: "\(error.fault): the index '\(index)' lists this file, download it too")
    }
  }

  private static func neighbour(of path: String, named name: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return name }
    return path[...slash] + name
  }
}

extension UInt64 {
  /// A recorded hash; zero stands for none.
  fileprivate var nonZero: UInt64? { self == 0 ? nil : self }
}
