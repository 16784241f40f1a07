import BlockFormats
import StrictJSON

/// Lays out safetensors files; whole ones in memory, or as a stream with `TensorFileWriter`.
package enum SafetensorsWriter {
  /// Lays out a file.
  ///
  /// - Parameters:
  ///   - tensors: tensors in file order. Readers that map files like numbers to be aligned:
  ///     declare larger elements first.
  ///   - metadata: texts for `__metadata__`.
  ///   - storesHashes: whether a further text holds hashes of the contents (`TensorHashes`).
  ///   - path: the file, for messages.
  /// - Returns: what `TensorFileWriter` needs.
  /// - Throws: `ModelFileError` for what safetensors cannot hold.
  package static func layout(
    _ tensors: [TensorDeclaration], metadata: [(key: String, value: String)] = [],
    storesHashes: Bool = false, path: String
  ) throws(ModelFileError) -> TensorFileLayout {
    let byteCounts = try TensorFileLayout.byteCounts(tensors, path: path)
    var entries: [HeaderEntry] = []
    for (tensor, byteCount) in zip(tensors, byteCounts) {
      guard let type = tensor.type.safetensorsName else {
        throw TensorFileLayout.refusal(
          path, tensor, "has a type that safetensors does not know:", tensor.type.name)
      }
      entries.append(
        HeaderEntry(name: tensor.name, type: type, shape: tensor.shape, byteCount: byteCount))
    }
    // First in the header, so that their place is known.
    let digits = String(repeating: "0", count: TensorHashes.digitCount * tensors.count)
    let pairs = (storesHashes ? [(TensorHashes.key, digits)] : []) + metadata
    let place = TensorHashes.Place(
      offset: 8 + "{\"__metadata__\":{\"\(TensorHashes.key)\":\"".utf8.count, encoding: .text)
    return TensorFileLayout(
      header: header(entries, pairs), contents: byteCounts.map { ($0, 0) },
      hashes: storesHashes ? place : nil)
  }

  // MARK: In memory

  /// One tensor to write.
  package struct FloatTensor {
    package let name: String
    package let shape: [Int]
    package let values: [Float]

    package init(name: String, shape: [Int], values: [Float]) {
      self.name = name
      self.shape = shape
      self.values = values
    }
  }

  /// The bytes of a file that holds float32 tensors and metadata, such as saved latents.
  ///
  /// - Parameters:
  ///   - tensors: names must differ; each shape's product is its number of values.
  ///   - metadata: texts for `__metadata__`.
  /// - Returns: the bytes of a safetensors file.
  package static func encode(
    _ tensors: [FloatTensor], metadata: [(key: String, value: String)] = []
  ) -> [UInt8] {
    var bytes = header(
      tensors.map {
        HeaderEntry(
          name: $0.name, type: "F32", shape: $0.shape, byteCount: $0.values.count * 4)
      }, metadata)
    bytes.reserveCapacity(tensors.reduce(bytes.count) { $0 + $1.values.count * 4 })
    for tensor in tensors {
      tensor.values.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }
    return bytes
  }

  // MARK: Header

  private struct HeaderEntry {
    let name: String
    let type: String
    let shape: [Int]
    let byteCount: Int
  }

  /// The length of the header and the header.
  private static func header(
    _ entries: [HeaderEntry], _ metadata: [(key: String, value: String)]
  ) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.map { "\(JSONText.quoted($0.key)):\(JSONText.quoted($0.value))" }
      members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var offset = 0
    for entry in entries {
      let end = offset + entry.byteCount
      members.append(
        "\(JSONText.quoted(entry.name)):{\"dtype\":\"\(entry.type)\",\"shape\":\(entry.shape),"
          + "\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var text = Array("{\(members.joined(separator: ","))}".utf8)
    // Keep the data aligned to 8 bytes, as other writers do.
    text += Array(repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
  }
}
