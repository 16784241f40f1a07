/// Lists of equally long vectors, kept as matrices: latents and velocities along a path.
extension TensorArchive {
  /// Whether there is a matrix of a name with that many rows; only the header is looked at.
  package func hasRows(of name: String, count: Int) -> Bool {
    matrix(name, rows: count) != nil
  }

  /// The rows of a small matrix of a decodable type; nil if there is none of that many rows.
  ///
  /// - Throws: `ModelFileError` if the file cannot be read.
  package func rows(of name: String, count: Int) throws(ModelFileError) -> [[Float]]? {
    guard let index = matrix(name, rows: count), tensors.records[index].type.isWeightType else {
      return nil
    }
    let values = try values(of: index)
    let width = tensors.records[index].shape[1]
    return (0..<count).map { Array(values[$0 * width..<($0 + 1) * width]) }
  }

  private func matrix(_ name: String, rows: Int) -> Int? {
    guard let index = tensors.index(of: name) else { return nil }
    let shape = tensors.records[index].shape
    return shape.count == 2 && shape[0] == rows && shape[1] > 0 ? index : nil
  }
}

extension SafetensorsWriter.FloatTensor {
  /// A matrix of equally long rows.
  package init(_ name: String, rows: [[Float]]) {
    self.init(
      name: name, shape: [rows.count, rows.first?.count ?? 0], values: rows.flatMap { $0 })
  }
}
