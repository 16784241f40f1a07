import StrictJSON

/// Opens the files of a checkpoint, whichever of them is named, and joins their tables of tensors.
struct ArchiveOpening {
  private(set) var path: String
  private(set) var format: TensorArchive.Format
  private(set) var tensors: TensorTable
  /// For each tensor the position of its file.
  private(set) var fileOfTensor: [Int]
  private(set) var ggufs: [GGUFFile] = []
  private(set) var safetensors: [SafetensorsFile] = []
  /// Tensors at the end that lie in shards though the index does not list them.
  private(set) var unlistedCount = 0

  /// Opens what a path names and what belongs to it.
  init(path: String, access: FileAccess) throws(ModelFileError) {
    let file = try MappedFile(path: path, access: access)
    let name = CheckpointName(FileSystem.name(of: path))
    switch FileKind(file) {
    case .gguf:
      let gguf = try GGUFFile(file)
      try self.init(splitCount(of: gguf) > 1 ? Self.parts(of: gguf, access) : [gguf], path: path)
    case .safetensors:
      if let name, name.part?.count ?? 1 > 1 {
        try self.init(shard: file, name, access)
      } else {
        try self.init([SafetensorsFile(file)], path: path)
      }
    case .json where FileSystem.name(of: path).lowercased().hasSuffix(".json"):
      try self.init(index: file, access)
    case .json:
      do throws(ModelFileError) {
        _ = try SafetensorsIndex(file)
      } catch {
        let start = String(decoding: file.bytes.prefix(60), as: UTF8.self)
        throw file.malformed(
          "is a JSON text that begins with '\(start)', not a model: probably a server's answer; "
            + "download it again")
      }
      try self.init(listedBy: file, access)
    case .other(let kind): throw file.malformed(kind)
    case .unknown:
      switch name?.container {
      case .safetensors: try self.init([SafetensorsFile(file)], path: path)
      case .gguf:
        throw file.malformed("does not begin with 'GGUF': it is damaged, download it again")
      case nil: throw file.malformed("is neither GGUF nor safetensors")
      }
    }
  }

  // MARK: GGUF

  private init(_ ggufs: [GGUFFile], path: String) throws(ModelFileError) {
    self.path = path
    format = ggufs.count > 1 ? .splitGGUF : .gguf
    self.ggufs = ggufs
    (tensors, fileOfTensor) = try Self.join(ggufs.map { ($0.tensors, $0.file) })
  }

  /// All parts of a split file, in order.
  private static func parts(
    of gguf: GGUFFile, _ access: FileAccess
  ) throws(ModelFileError) -> [GGUFFile] {
    let (number, count) = (splitNumber(of: gguf), splitCount(of: gguf))
    guard count <= SafetensorsIndex.maximumShardCount else {
      throw gguf.file.malformed(
        "is one of \(count) parts of a split GGUF, the limit is \(SafetensorsIndex.maximumShardCount)"
      )
    }
    let path = gguf.file.path
    guard let name = CheckpointName(FileSystem.name(of: path)), let part = name.part,
      part.count == count, part.number == number + 1
    else {
      throw gguf.file.malformed(
        "is part \(number + 1) of \(count) of a split GGUF, whose name must end in "
          + "'\(partName(number + 1, of: count))' as llama-gguf-split wrote it: give all parts their "
          + "names back")
    }
    let folder = FileSystem.folder(of: path)
    let set = CheckpointSet.numbered(name, in: folder)
    if let error = set.incompleteness { throw error }
    var parts: [GGUFFile] = []
    for index in 0..<count {
      guard index != number else {
        parts.append(gguf)
        continue
      }
      let other = FileSystem.join(folder, name.sibling(index + 1))
      let file = try MappedFile(path: other, access: access)
      if let kind = file.strangeContent { throw file.malformed(kind) }
      let opened = try GGUFFile(file)
      guard splitCount(of: opened) == count, splitNumber(of: opened) == index else {
        throw opened.file.malformed(
          "is not part \(index + 1) of \(count) by its metadata ('split.no', 'split.count'), as its "
            + "name says: it belongs to another model, download it again")
      }
      parts.append(opened)
    }
    try expectTensorCount(parts)
    return parts
  }

  private static func expectTensorCount(_ parts: [GGUFFile]) throws(ModelFileError) {
    let found = parts.reduce(0) { $0 + $1.tensors.records.count }
    let stated = parts.lazy.compactMap { $0.value(for: "split.tensors.count")?.integer }.first
    guard let stated, stated != found else { return }
    throw parts[0].file.malformed(
      "its parts hold \(found) tensors together, 'split.tensors.count' says \(stated): they belong to "
        + "different models, download them again")
  }

  private static func partName(_ number: Int, of count: Int) -> String {
    func padded(_ number: Int) -> String {
      String(repeating: "0", count: max(0, 5 - "\(number)".count)) + "\(number)"
    }
    return "-\(padded(number))-of-\(padded(count)).gguf"
  }

  // MARK: safetensors

  private init(_ files: [SafetensorsFile], path: String) throws(ModelFileError) {
    self.path = path
    format = files.count > 1 ? .shardedSafetensors : .safetensors
    safetensors = files
    (tensors, fileOfTensor) = try Self.join(files.map { ($0.tensors, $0.file) })
  }

  /// One of several files was named: an index beside it that lists it counts, else their numbers.
  private init(
    shard file: MappedFile, _ name: CheckpointName, _ access: FileAccess
  ) throws(ModelFileError) {
    let folder = FileSystem.folder(of: file.path)
    let sets = CheckpointSet.all(in: folder).filter { $0.fileNames.contains(name.text) }
    let numbered = CheckpointSet.numbered(name, in: folder)
    guard let set = sets.first(where: \.isComplete) ?? (numbered.isComplete ? numbered : nil) else {
      throw ModelFileError(
        path: file.path, kind: .notFound,
        fault: "is one of \(numbered.fileNames.count) files of a model, and some are missing: "
          + numbered.missing.prefix(8).joined(separator: ", ")
          + (numbered.missing.count > 8 ? ", ..." : "") + ": download them too")
    }
    if CheckpointName.index(FileSystem.name(of: set.path)) != nil {
      try self.init(path: set.path, access: access)
    } else {
      try self.init(files: set, path: file.path, access)
    }
  }

  /// Numbered files without an index.
  private init(
    files set: CheckpointSet, path: String, _ access: FileAccess
  ) throws(ModelFileError) {
    let folder = FileSystem.folder(of: set.path)
    var files: [SafetensorsFile] = []
    for name in set.fileNames {
      files.append(
        try Self.shard(try MappedFile(path: FileSystem.join(folder, name), access: access)))
    }
    try self.init(files, path: path)
  }

  /// An index; one that does not fit the files beside it gives way to a complete set of others.
  private init(index file: MappedFile, _ access: FileAccess) throws(ModelFileError) {
    do throws(ModelFileError) {
      try self.init(listedBy: file, access)
    } catch let error {
      let name = FileSystem.name(of: file.path)
      let folder = FileSystem.folder(of: file.path)
      let stem = CheckpointName.index(name)?.stem
      let other = CheckpointSet.all(in: folder).first {
        $0.isComplete && $0.stem == stem && $0.path != file.path
          && CheckpointName.index(FileSystem.name(of: $0.path)) == nil
      }
      guard let stem, !stem.isEmpty, let other else { throw error }
      if other.fileNames.count > 1 {
        try self.init(files: other, path: other.path, access)
      } else {
        try self.init(path: other.path, access: access)
      }
    }
  }

  private init(listedBy file: MappedFile, _ access: FileAccess) throws(ModelFileError) {
    let index = try SafetensorsIndex(file)
    var shards: [SafetensorsFile] = []
    for name in index.shards {
      let path = FileSystem.folder(of: file.path)
      shards.append(
        try Self.shard(
          try Self.openShard(
            file.path.contains("/") ? FileSystem.join(path, name) : name, of: file.path, access)))
    }
    var records: [TensorRecord] = []
    fileOfTensor = []
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
    path = file.path
    unlistedCount = tensors.records.count - records.count
    format = .shardedSafetensors
    safetensors = shards
  }

  private static func shard(_ file: MappedFile) throws(ModelFileError) -> SafetensorsFile {
    if let kind = file.strangeContent { throw file.malformed(kind) }
    return try SafetensorsFile(file)
  }

  private static func openShard(
    _ path: String, of index: String, _ access: FileAccess
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

  // MARK: Joining

  /// One table of the tensors of several files.
  private static func join(
    _ files: [(tensors: TensorTable, file: MappedFile)]
  ) throws(ModelFileError) -> (TensorTable, [Int]) {
    let places = files.enumerated().flatMap { position, file in
      file.tensors.records.map { _ in position }
    }
    guard files.count != 1 else { return (files[0].tensors, places) }
    guard places.count <= TensorTable.maximumCount else {
      throw files[0].file.malformed(
        "its files hold \(places.count) tensors, more than \(TensorTable.maximumCount) tensors")
    }
    switch TensorTable.make(files.flatMap { $0.tensors.records }) {
    case .success(let table): return (table, places)
    case .failure(let duplicate):
      throw files[0].file.malformed(
        "tensor '\(duplicate.name)' lies in two of the files that belong together: they are of "
          + "different models, download them again")
    }
  }
}

/// How many files a GGUF was split into; 1 for a whole one.
private func splitCount(of gguf: GGUFFile) -> Int {
  gguf.value(for: "split.count")?.integer.map { max(1, min($0, .max / 2)) } ?? 1
}

/// Which of them a file is, from 0.
private func splitNumber(of gguf: GGUFFile) -> Int {
  gguf.value(for: "split.no")?.integer.map { max(0, min($0, .max / 2)) } ?? 0
}
