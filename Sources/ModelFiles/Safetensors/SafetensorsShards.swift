import StrictJSON

/// How the tensors of one part of a model are split into safetensors files, in the way of
/// diffusers and transformers: `stem.safetensors`, or numbered files and an index.
package struct SafetensorsShards: Sendable {
  /// One file.
  package struct Shard: Sendable {
    package let fileName: String
    package let tensors: [TensorDeclaration]
  }

  /// Files in the order of the tensors; at least one.
  package let shards: [Shard]
  /// Name of the index file; nil where a single file needs none.
  package let indexName: String?
  /// Bytes of all contents.
  package let contentByteCount: Int

  /// Splits tensors into shards.
  ///
  /// - Parameters:
  ///   - tensors: tensors in order; none is split.
  ///   - stem: `diffusion_pytorch_model` or `model`.
  ///   - maximumByteCount: most bytes of contents in one file, unless a single tensor has more;
  ///     diffusers' own limit by default.
  package init(
    _ tensors: [TensorDeclaration], stem: String, maximumByteCount: Int = 10_000_000_000
  ) {
    var groups: [[TensorDeclaration]] = [[]]
    var (groupBytes, total) = (0, 0)
    for tensor in tensors {
      let byteCount = tensor.byteCount ?? 0
      if groupBytes > 0, groupBytes + byteCount > maximumByteCount {
        groups.append([])
        groupBytes = 0
      }
      groups[groups.count - 1].append(tensor)
      groupBytes += byteCount
      total += byteCount
    }
    let isSingle = groups.count == 1
    shards = groups.enumerated().map { [count = groups.count] index, group in
      let number = "-\(Self.padded(index + 1))-of-\(Self.padded(count))"
      return Shard(fileName: "\(stem)\(isSingle ? "" : number).safetensors", tensors: group)
    }
    indexName = isSingle ? nil : "\(stem).safetensors.index.json"
    contentByteCount = total
  }

  /// The content of the index file.
  package var index: JSONValue {
    let map = shards.flatMap { shard in
      shard.tensors.map { JSONValue.Member(key: $0.name, value: .string(shard.fileName)) }
    }
    return ["metadata": ["total_size": .integer(contentByteCount)], "weight_map": .object(map)]
  }

  /// A number of at least five digits.
  private static func padded(_ number: Int) -> String {
    String(repeating: "0", count: max(0, 5 - "\(number)".count)) + "\(number)"
  }
}
