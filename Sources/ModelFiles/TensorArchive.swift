import StrictJSON

/// The tensors of one checkpoint file, or of a sharded set behind an index, as one table.
public struct TensorArchive: Sendable {
  /// The container that holds the tensors.
  public enum Format: String, Sendable {
    case gguf = "GGUF"
    case safetensors = "safetensors"
    case shardedSafetensors = "sharded safetensors"
    case splitGGUF = "split GGUF"
  }

  /// The path that was opened: the file, the index of a sharded set, or one of numbered files.
  public let path: String
  /// The container format.
  public let format: Format
  /// Every tensor with its place in its own file.
  public let tensors: TensorTable
  /// The opened GGUF file, where the archive is one; of a split one the first, which has the
  /// metadata.
  public var gguf: GGUFFile? { ggufs.first }
  /// The `__metadata__` texts of a safetensors file (of all shards together).
  public let safetensorsMetadata: [(key: String, value: String)]
  /// The files, and for each tensor the one that holds it.
  package let files: [MappedFile]
  private let fileOfTensor: [Int]
  /// Opened files of either kind, in the order of `files`; the other list is empty.
  private let ggufs: [GGUFFile]
  private let safetensors: [SafetensorsFile]
  /// Tensors at the end of `tensors` that lie in shards though the index does not list them.
  public let unlistedCount: Int

  /// Total size of the files.
  public var byteCount: Int { files.reduce(0) { $0 + $1.size } }

  /// Opens a GGUF file, a safetensors file or a safetensors index, told apart by content.
  ///
  /// A file that is one of several by its name (`-00001-of-00003`) or, in GGUF, by its metadata
  /// (`split.count`) stands for all of them.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - access: how the tensors' bytes are accessed.
  /// - Throws: `ModelFileError` with the first fault that was found.
  public init(path: String, access: FileAccess = .mmap) throws(ModelFileError) {
    try self.init(ArchiveOpening(path: path, access: access))
  }

  /// The texts of a key in the `__metadata__` of each file that has it.
  package func metadataTexts(_ key: String) -> [String] {
    safetensors.compactMap { file in file.metadata.first { $0.key == key }?.value }
  }

  /// Joins the tables of files that belong together.
  init(_ opening: ArchiveOpening) {
    path = opening.path
    format = opening.format
    tensors = opening.tensors
    fileOfTensor = opening.fileOfTensor
    unlistedCount = opening.unlistedCount
    ggufs = opening.ggufs
    safetensors = opening.safetensors
    files = opening.ggufs.map(\.file) + opening.safetensors.map(\.file)
    var seenKeys: Set<ExactName> = []
    safetensorsMetadata = opening.safetensors.flatMap(\.metadata).filter {
      seenKeys.insert(ExactName($0.key)).inserted
    }
  }

  /// For each tensor the hash that its file holds of it; nil where it holds none.
  ///
  /// - Throws: `ModelFileError` if a file's hashes are malformed or of other tensors.
  package func tensorHashes() throws(ModelFileError) -> [UInt64?] {
    if let gguf {
      // Splitting leaves all hashes in the first file, in the order of all tensors.
      let hashes = try gguf.tensorHashes(count: tensors.records.count)
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

  /// Where the last tensor of each file ends, by the files' paths.
  package var contentEnds: [String: Int] {
    tensors.records.indices.reduce(into: [:]) { ends, index in
      let record = tensors.records[index]
      ends[file(of: index).path, default: 0].formMax(record.byteOffset + record.byteCount)
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
}

extension Int {
  fileprivate mutating func formMax(_ other: Int) { self = Swift.max(self, other) }
}

extension UInt64 {
  /// A recorded hash; zero stands for none.
  fileprivate var nonZero: UInt64? { self == 0 ? nil : self }
}
