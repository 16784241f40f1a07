import Compute
import Foundation
import ModelFiles

/// The sums of an importance matrix that is being measured, in a file beside it, so that an
/// interrupted run goes on where it was.
///
/// The file is called NAME.KEY.partial, KEY being a hash of all that the sums depend on: what
/// belongs to other settings is another file, which stays. It holds float64 sums exactly, and their
/// hashes.
package struct UnfinishedMatrix: Sendable {
  /// Sums of the first prompts.
  package struct Sums: Sendable {
    /// By our names of the tensors.
    package let entries: [String: ColumnSquares]
    /// Prompts that they are of.
    package let promptCount: Int

    package init(entries: [String: ColumnSquares], promptCount: Int) {
      self.entries = entries
      self.promptCount = promptCount
    }
  }

  private static let version = 1
  private static let ending = ".partial"
  private static let countKey = "auraflow.imatrix.prompts"
  private static let squaresEnding = ".squares"
  private static let rowsEnding = ".rows"

  /// The file.
  package let path: String
  private let output: String

  /// - Parameters:
  ///   - output: the importance matrix that is going to be written.
  ///   - identity: all that the sums depend on.
  package init(output: String, identity: String) {
    let ending = ".\(XXHash64.name(of: "\(Self.version) \(identity)"))\(Self.ending)"
    var name = FileSystem.name(of: output)
    while FilePaths.bytes(name + ending).count > 255 { name.removeLast() }
    self.output =
      output.contains("/") ? FileSystem.join(FileSystem.folder(of: output), name) : name
    path = self.output + ending
  }

  /// Files that runs with other settings left of the same matrix.
  package var others: [String] {
    let folder = FileSystem.folder(of: output)
    let start = FileSystem.name(of: output) + "."
    let own = FileSystem.name(of: path)
    return FileSystem.names(in: folder).filter {
      $0.hasPrefix(start) && $0.hasSuffix(Self.ending) && $0 != own
        && $0.utf8.count == own.utf8.count
    }.map { output.contains("/") ? FileSystem.join(folder, $0) : $0 }
  }

  /// What an earlier run kept.
  ///
  /// - Returns: nil if there is no file.
  /// - Throws: `ModelFileError` if it is damaged.
  package func load() throws(ModelFileError) -> Sums? {
    guard FileSystem.isFile(path) else { return nil }
    let archive = try TensorArchive(path: path)
    func malformed(_ fault: String) -> ModelFileError {
      ModelFileError(path: path, kind: .malformed, fault: fault)
    }
    let texts = archive.safetensorsMetadata
    guard let text = texts.first(where: { $0.key == Self.countKey })?.value,
      let count = Int(text), count > 0
    else { throw malformed("does not say its number of prompts") }
    var values: [String: [Double]] = [:]
    let hashes = try archive.tensorHashes()
    for (index, record) in archive.tensors.records.enumerated() {
      let bytes = archive.contents(of: index).bytes
      guard record.type == .f64, hashes[index] == XXHash64.hash(bytes) else {
        throw malformed("tensor '\(record.name)' differs from its hash")
      }
      values[record.name] = (0..<record.elementCount).map {
        bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self)
      }
    }
    var entries: [String: ColumnSquares] = [:]
    for (name, squares) in values where name.hasSuffix(Self.squaresEnding) {
      let tensor = String(name.dropLast(Self.squaresEnding.count))
      guard let rows = values[tensor + Self.rowsEnding]?.first.flatMap({ Int(exactly: $0) }),
        rows > 0, squares.allSatisfy({ $0 >= 0 && $0.isFinite })
      else { throw malformed("tensor '\(tensor)' has impossible sums") }
      entries[tensor] = ColumnSquares(squares: squares, rows: rows)
    }
    return Sums(entries: entries, promptCount: count)
  }

  /// Keeps sums instead of those that were kept before.
  ///
  /// - Throws: `ModelFileError` if they cannot be written; then the old ones are there.
  package func save(_ sums: Sums) throws(ModelFileError) {
    var tensors: [TensorDeclaration] = []
    var contents: [[Double]] = []
    for (name, entry) in sums.entries.sorted(by: { $0.key < $1.key }) {
      for (ending, values) in [
        (Self.squaresEnding, entry.squares), (Self.rowsEnding, [Double(entry.rows)]),
      ] {
        tensors.append(
          TensorDeclaration(name: name + ending, type: .f64, shape: [values.count]))
        contents.append(values)
      }
    }
    let layout = try SafetensorsWriter.layout(
      tensors, metadata: [(Self.countKey, "\(sums.promptCount)")], storesHashes: true, path: path)
    let writer = try TensorFileWriter(path: path, overwrite: true, layout: layout)
    for values in contents {
      try values.withUnsafeBytes { bytes in
        Result { () throws(ModelFileError) in try writer.write(bytes) }
      }.get()
    }
    try writer.finish()
  }

  /// Removes the file: the matrix is finished.
  package func remove() { _ = FilePaths.withSystemPath(path) { unlink($0) } }
}
