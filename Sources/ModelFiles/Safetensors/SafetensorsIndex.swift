import StrictJSON

/// The index file of a sharded safetensors checkpoint: which tensor lies in which file.
package struct SafetensorsIndex {
  /// Largest index file, in bytes.
  static let maximumLength = 100_000_000
  /// Maximum number of files that an index may name; the largest known checkpoints have a few
  /// hundred.
  static let maximumShardCount = 4096

  /// Names of the shards, in the order in which they are first named.
  package private(set) var shards: [String] = []
  /// The tensors in file order, each with the position of its shard in `shards`.
  package private(set) var tensors: [(name: String, shard: Int)] = []

  /// Parses an index.
  ///
  /// - Throws: `ModelFileError` if the JSON is malformed or a shard's name is not a plain file
  ///   name.
  package init(_ file: MappedFile) throws(ModelFileError) {
    guard file.bytes.count <= Self.maximumLength else {
      throw file.malformed("index of \(file.bytes.count) bytes, the limit is \(Self.maximumLength)")
    }
    var hasMap = false
    do {
      var scanner = JSONScanner(file.bytes)
      try scanner.readObject { (scanner, key) throws(JSONError) in
        guard key == "weight_map" else { return try scanner.skipValue() }
        guard !hasMap else { throw scanner.error("'weight_map' occurs twice") }
        hasMap = true
        try readMap(&scanner)
      }
      try scanner.expectEnd()
    } catch {
      throw file.malformed("\(error)")
    }
    guard hasMap else {
      throw file.malformed(
        "is a JSON text without 'weight_map', so it is not an index of a model's files: name the "
          + "weights, or their folder")
    }
  }

  private mutating func readMap(_ scanner: inout JSONScanner) throws(JSONError) {
    var positions: [ExactName: Int] = [:]
    var nameBytes = 0
    try scanner.readObject { (scanner, tensor) throws(JSONError) in
      guard tensors.count < TensorTable.maximumCount else {
        throw scanner.error("more than \(TensorTable.maximumCount) tensors")
      }
      nameBytes += tensor.utf8.count
      guard nameBytes <= NameBudget.maximumBytes else {
        throw scanner.error(NameBudget.fault("tensor names"))
      }
      let shard = try scanner.readString(limit: 4096)
      guard Self.isPlainFileName(shard) else {
        throw scanner.error("tensor '\(tensor)' lies in '\(shard)', which is not a plain file name")
      }
      // Each name is kept once, however many tensors lie there.
      let position = positions[ExactName(shard), default: shards.count]
      if position == shards.count {
        guard shards.count < Self.maximumShardCount else {
          throw scanner.error("more than \(Self.maximumShardCount) files")
        }
        positions[ExactName(shard)] = position
        shards.append(shard)
      }
      tensors.append((tensor, position))
    }
  }

  /// Shards may only be neighbours of the index: a path could lead anywhere on the machine.
  private static func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && !name.utf8.contains(UInt8(ascii: "/"))
      && !name.utf8.contains(UInt8(ascii: "\\")) && !name.utf8.contains(0)
      && name.utf8.count <= 255
  }
}
