import BlockFormats

/// Errors of products with each tensor, in the metadata of GGUF files: float32 arrays in the order
/// of the tensors, of which those that are 0 in the first are not known.
package enum TensorErrors {
  private static let keys = [
    "auraflow.errors.products", "auraflow.errors.activations_32",
    "auraflow.errors.activations_256",
  ]

  /// The entries for a file.
  ///
  /// - Parameter errors: of each tensor, in the order of the file.
  /// - Returns: none if nothing is known of any tensor.
  package static func metadata(
    _ errors: [ProductErrors?]
  ) -> [(key: String, value: GGUFWriter.Value)] {
    guard errors.contains(where: { $0 != nil }) else { return [] }
    let columns: [(ProductErrors) -> Double] = [
      \.weights, \.activations32, \.activations256,
    ]
    return zip(keys, columns).map { key, column in
      (key, .float32s(errors.map { $0.map { Float(column($0)) } ?? 0 }))
    }
  }

  /// What a file says of its tensors.
  ///
  /// - Parameters:
  ///   - file: a GGUF file.
  ///   - count: of its tensors.
  /// - Returns: for each tensor, nil where nothing is known; entries of other lengths, or that no
  ///   errors can be, count as none: they decide on speed and accuracy only.
  static func read(_ file: GGUFFile, count: Int) -> [ProductErrors?] {
    let columns = keys.compactMap { key -> [Double]? in
      guard let value = file.value(for: key), value.elementType == .float32,
        value.elementCount == count
      else { return nil }
      return value.elements()?.compactMap(\.double)
    }
    guard columns.count == keys.count, columns.allSatisfy({ $0.count == count }) else {
      return Array(repeating: nil, count: count)
    }
    return (0..<count).map { index in
      let errors = ProductErrors(
        weights: columns[0][index], activations32: columns[1][index],
        activations256: columns[2][index])
      return errors.isPlausible && errors.weights > 0 ? errors : nil
    }
  }
}

extension TensorArchive {
  /// What the file says of products with each of its tensors; nil where it says nothing.
  package var tensorErrors: [ProductErrors?] {
    let count = tensors.records.count
    guard let gguf else { return Array(repeating: nil, count: count) }
    return TensorErrors.read(gguf, count: count)
  }
}
