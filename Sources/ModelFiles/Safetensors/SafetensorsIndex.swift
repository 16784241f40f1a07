import StrictJSON

/// The index file of a sharded safetensors checkpoint: which tensor lies in which file.
struct SafetensorsIndex {
  /// Largest index file, in bytes.
  static let maximumLength = 100_000_000

  /// Shard of each tensor, in file order.
  let shardByTensor: [(tensor: String, shard: String)]

  /// Parses an index.
  ///
  /// - Throws: `ModelFileError` if the JSON is malformed or a shard's name is no plain file name.
  init(_ file: MappedFile) throws(ModelFileError) {
    guard file.bytes.count <= Self.maximumLength else {
      throw file.malformed("index of \(file.bytes.count) bytes, the limit is \(Self.maximumLength)")
    }
    var pairs: [(tensor: String, shard: String)] = []
    var hasMap = false
    do {
      var scanner = JSONScanner(file.bytes)
      try scanner.readObject { (scanner, key) throws(JSONError) in
        guard key == "weight_map" else { return try scanner.skipValue() }
        guard !hasMap else { throw scanner.error("'weight_map' occurs twice") }
        hasMap = true
        try scanner.readObject { (scanner, tensor) throws(JSONError) in
          guard pairs.count < TensorTable.maximumCount else {
            throw scanner.error("more than \(TensorTable.maximumCount) tensors")
          }
          pairs.append((tensor, try scanner.readString(limit: 4096)))
        }
      }
      try scanner.expectEnd()
    } catch {
      throw file.malformed("\(error)")
    }
    guard hasMap else { throw file.malformed("has no 'weight_map'") }
    for pair in pairs where !Self.isPlainFileName(pair.shard) {
      throw file.malformed(
        "tensor '\(pair.tensor)' lies in '\(pair.shard)', which is no plain file name")
    }
    shardByTensor = pairs
  }

  /// Shards may only be neighbours of the index: a path could lead anywhere on the machine.
  private static func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && name != "." && name != ".." && !name.utf8.contains(UInt8(ascii: "/"))
      && !name.utf8.contains(UInt8(ascii: "\\")) && !name.utf8.contains(0)
      && name.utf8.count <= 255
  }
}
