import Compute
import ModelFiles

extension ImportanceMatrix {
  /// What an importance matrix was made from.
  package struct Origin: Sendable {
    /// Names of the files with the texts.
    package let datasets: [String]
    /// Texts that were run.
    package let chunkCount: Int

    package init(datasets: [String], chunkCount: Int) {
      self.datasets = datasets
      self.chunkCount = chunkCount
    }
  }

  /// Writes measured activations in llama.cpp's GGUF form.
  ///
  /// Its tools take the number of texts from the largest count: `imatrix.chunk_size` is such that
  /// they get the right one.
  ///
  /// - Parameters:
  ///   - entries: sums by our names of the tensors; at least one.
  ///   - origin: what they were made from.
  ///   - path: the file.
  ///   - overwrite: whether an existing file may be replaced.
  /// - Throws: `ModelFileError` if a sum is not finite or the file cannot be written; then an old
  ///   file is untouched.
  package static func write(
    _ entries: [String: ColumnSquares], origin: Origin, to path: String, overwrite: Bool
  ) throws(ModelFileError) {
    let names = entries.keys.sorted()
    var tensors: [TensorDeclaration] = []
    var contents: [[Float]] = []
    for name in names {
      guard let entry = entries[name] else { continue }
      let sums = entry.squares.map { Float($0) }
      _ = try checkedMeans(sums, count: Float(entry.rows), of: name, path)
      tensors.append(
        TensorDeclaration(name: name + sumsEnding, type: .f32, shape: [1, sums.count]))
      tensors.append(TensorDeclaration(name: name + countsEnding, type: .f32, shape: [1, 1]))
      contents += [sums, [Float(entry.rows)]]
    }
    let chunks = max(1, origin.chunkCount)
    let rows = entries.values.map(\.rows).max() ?? 0
    let layout = try GGUFWriter.layout(
      metadata: [
        ("general.type", .string("imatrix")),
        ("imatrix.datasets", .strings(origin.datasets)),
        ("imatrix.chunk_count", .uint32(UInt32(clamping: origin.chunkCount))),
        ("imatrix.chunk_size", .uint32(UInt32(clamping: max(1, rows / chunks)))),
      ], tensors: tensors, path: path)
    let writer = try TensorFileWriter(path: path, overwrite: overwrite, layout: layout)
    for values in contents {
      try values.withUnsafeBytes { bytes in
        Result { () throws(ModelFileError) in try writer.write(bytes) }
      }.get()
    }
    try writer.finish()
  }
}
