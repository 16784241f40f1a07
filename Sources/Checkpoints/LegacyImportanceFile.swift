import ModelFiles

/// The binary form of importance matrices that llama.cpp wrote before July 2025 (`imatrix.dat`).
///
/// Little-endian: int32 number of entries; for each int32 length of the name, the name, int32
/// number of calls, int32 number of values, float32 values (means times calls); then optionally
/// int32 number of chunks, int32 length and name of the text that was measured.
enum LegacyImportanceFile {
  /// Longer names than ggml's own are refused.
  private static let maximumNameLength = 512

  /// Reads all entries.
  ///
  /// - Returns: the entries in file order, and the number of chunks where the file tells it.
  /// - Throws: `ModelFileError` with the first fault.
  static func read(
    _ file: MappedFile
  ) throws(ModelFileError) -> (entries: [ImportanceMatrix.Entry], chunkCount: Int?) {
    var reader = Reader(file: file)
    let count = try reader.integer("number of entries")
    // The smallest entry has 17 bytes.
    guard count > 0, count <= file.bytes.count / 17 else {
      throw file.malformed(
        "is not an importance matrix: neither GGUF, nor a list of tensors (\(count) entries in "
          + "\(file.size) bytes)")
    }
    var entries: [ImportanceMatrix.Entry] = []
    for index in 0..<count { entries.append(try reader.entry(index)) }
    guard reader.remaining > 0 else { return (entries, nil) }
    let chunks = try reader.integer("number of chunks")
    guard reader.remaining > 0 else { return (entries, chunks) }
    let length = try reader.integer("length of the data set's name")
    guard length >= 0, length == reader.remaining else {
      throw file.malformed(
        "the data set's name should have \(length) bytes, \(reader.remaining) are left")
    }
    return (entries, chunks)
  }

  private struct Reader {
    let file: MappedFile
    private var offset = 0

    init(file: MappedFile) { self.file = file }

    /// All of the file that is mapped: such files have a few megabytes.
    var remaining: Int { file.bytes.count - offset }

    mutating func skip(_ count: Int, _ what: String) throws(ModelFileError) -> Int {
      guard count >= 0, count <= remaining else {
        throw file.malformed(
          "\(what) needs \(count) bytes at byte \(offset), only \(remaining) are left: the file is "
            + "damaged, cut short or not an importance matrix")
      }
      defer { offset += count }
      return offset
    }

    mutating func integer(_ what: String) throws(ModelFileError) -> Int {
      let start = try skip(4, what)
      return Int(
        Int32(littleEndian: file.bytes.loadUnaligned(fromByteOffset: start, as: Int32.self)))
    }

    mutating func entry(_ index: Int) throws(ModelFileError) -> ImportanceMatrix.Entry {
      let length = try integer("name length of entry \(index)")
      guard (1...maximumNameLength).contains(length) else {
        throw file.malformed(
          "entry \(index) has a name of \(length) bytes, expected 1 to \(maximumNameLength): the "
            + "file is damaged or not an importance matrix")
      }
      let start = try skip(length, "name of entry \(index)")
      guard let name = String(validating: file.bytes[start..<start + length], as: UTF8.self) else {
        throw file.malformed("the name of entry \(index) is not valid UTF-8")
      }
      let calls = try integer("calls of '\(name)'")
      let count = try integer("values of '\(name)'")
      guard calls > 0 else {
        throw file.malformed("'\(name)' has \(calls) calls, expected more: nothing was measured")
      }
      guard (1...ImportanceMatrix.maximumColumns).contains(count) else {
        throw file.malformed(
          "'\(name)' has \(count) values, expected 1 to \(ImportanceMatrix.maximumColumns)")
      }
      let first = try skip(4 * count, "values of '\(name)'")
      let values = (0..<count).map { index in
        Float(
          bitPattern: UInt32(
            littleEndian: file.bytes.loadUnaligned(
              fromByteOffset: first + 4 * index, as: UInt32.self)))
      }
      return ImportanceMatrix.Entry(
        name: name,
        means: try ImportanceMatrix.checkedMeans(
          values, count: Float(calls), of: name, file.path))
    }
  }
}
