import BlockFormats
import StrictJSON

/// A safetensors file, opened and checked: tensors tile the data exactly, without gap or overlap.
///
/// Format: the safetensors README and the checks of its reference reader (`tensor.rs`,
/// `Metadata::validate`).
public struct SafetensorsFile: Sendable {
  /// Largest header, in bytes (the reference reader's limit).
  public static let maximumHeaderLength = 100_000_000
  /// Maximum number of dimensions of a tensor.
  public static let maximumDimensions = 64
  /// Maximum number of `__metadata__` pairs.
  public static let maximumPairCount = 1 << 16
  /// Longest `__metadata__` text that is kept, in bytes; longer ones are checked and left out.
  public static let maximumTextLength = 1 << 20
  /// Texts that change what tensors mean, which are kept whatever their length (the header's limit
  /// holds).
  static let keptKeys: Set<String> = ["_quantization_metadata"]
  /// Maximum number of bytes of `__metadata__` texts that are kept in all; the other texts are left
  /// out.
  static let maximumMetadataBytes = 16 << 20

  /// The `__metadata__` texts, in file order.
  public let metadata: [(key: String, value: String)]
  /// Tensors in the order of the header.
  public let tensors: TensorTable
  package let file: MappedFile

  /// Opens and checks a file.
  ///
  /// - Throws: `ModelFileError` naming the first fault.
  package init(_ file: MappedFile) throws(ModelFileError) {
    self.file = file
    guard file.bytes.count >= 8 else {
      throw file.malformed("has \(file.bytes.count) bytes, too few for a safetensors header")
    }
    let headerLength = UInt64(littleEndian: file.bytes.loadUnaligned(as: UInt64.self))
    guard headerLength <= UInt64(Self.maximumHeaderLength) else {
      throw file.malformed(
        "header of \(headerLength) bytes, the limit is \(Self.maximumHeaderLength)")
    }
    guard headerLength >= 2, 8 + Int(headerLength) <= file.bytes.count else {
      throw file.malformed(
        "header of \(headerLength) bytes in a file of \(file.size): the file is damaged or "
          + "cut short, download it again")
    }
    let header = try Self.parseHeader(
      UnsafeRawBufferPointer(rebasing: file.bytes[8..<8 + Int(headerLength)]), of: file)
    metadata = header.metadata
    let dataStart = 8 + Int(headerLength)
    try Self.checkTiling(
      header.entries, dataCount: file.size - dataStart, in: file)
    let records = header.entries.map { entry in
      TensorRecord(
        name: entry.name, type: entry.type, shape: entry.shape,
        byteOffset: dataStart + entry.begin, byteCount: entry.end - entry.begin)
    }
    switch TensorTable.make(records) {
    case .success(let table): tensors = table
    case .failure(let duplicate):
      throw file.malformed("tensor '\(duplicate.name)' occurs twice in the header")
    }
  }

  private struct Entry {
    let name: String
    let type: ElementType
    let shape: [Int]
    let begin: Int
    let end: Int
  }

  private typealias Header = (entries: [Entry], metadata: [(key: String, value: String)])

  private static func parseHeader(
    _ bytes: UnsafeRawBufferPointer, of file: MappedFile
  ) throws(ModelFileError) -> Header {
    guard bytes[0] == UInt8(ascii: "{") else {
      throw file.malformed("the header does not begin with '{'")
    }
    var header: Header = ([], [])
    var hasMetadata = false
    var nameBytes = 0
    do {
      var scanner = JSONScanner(bytes)
      try scanner.readObject { (scanner, name) throws(JSONError) in
        if name == "__metadata__" {
          guard !hasMetadata else { throw scanner.error("'__metadata__' occurs twice") }
          hasMetadata = true
          header.metadata = try readMetadata(&scanner)
        } else {
          guard header.entries.count < TensorTable.maximumCount else {
            throw scanner.error("more than \(TensorTable.maximumCount) tensors")
          }
          nameBytes += name.utf8.count
          guard nameBytes <= NameBudget.maximumBytes else {
            throw scanner.error(NameBudget.fault("tensor names"))
          }
          header.entries.append(try readEntry(name, &scanner))
        }
      }
      try scanner.expectEnd()
    } catch {
      throw file.malformed("header: \(error)")
    }
    return header
  }

  private static func readMetadata(
    _ scanner: inout JSONScanner
  ) throws(JSONError) -> [(key: String, value: String)] {
    var pairs: [(key: String, value: String)] = []
    var seen: Set<ExactName> = []
    var keyBytes = 0
    var keptBytes = 0
    // Some writers put null where they have nothing to say, which the reference reader takes.
    guard try scanner.peekKind() != .null else {
      try scanner.skipValue()
      return []
    }
    try scanner.readObject { (scanner, key) throws(JSONError) in
      keyBytes += key.utf8.count
      guard keyBytes <= NameBudget.maximumBytes else {
        throw scanner.error(NameBudget.fault("keys in '__metadata__'"))
      }
      guard pairs.count < maximumPairCount else {
        throw scanner.error("more than \(maximumPairCount) pairs in '__metadata__'")
      }
      guard seen.insert(ExactName(key)).inserted else {
        throw scanner.error("'\(key)' occurs twice in '__metadata__'")
      }
      guard case .string = try scanner.peekKind() else {
        throw scanner.error("'__metadata__' value of '\(key)' is not a string")
      }
      var ahead = scanner
      let length = try ahead.skipString()
      keptBytes += min(length, maximumTextLength)
      if keptKeys.contains(key) || length <= maximumTextLength && keptBytes <= maximumMetadataBytes
      {
        pairs.append((key, try scanner.readString()))
      } else {
        pairs.append((key, "(\(length) bytes of text)"))
        scanner = ahead
      }
    }
    return pairs
  }

  private static func readEntry(
    _ name: String, _ scanner: inout JSONScanner
  ) throws(JSONError) -> Entry {
    var type: ElementType?
    var shape: [UInt64]?
    var offsets: [UInt64]?
    try scanner.readObject { (scanner, key) throws(JSONError) in
      switch key {
      case "dtype":
        guard type == nil else { throw scanner.error("tensor '\(name)' has two dtypes") }
        let text = try scanner.readString(limit: 64)
        guard let known = ElementType(safetensorsName: text) else {
          throw scanner.error("tensor '\(name)' has unknown dtype '\(text.prefix(40))'")
        }
        type = known
      case "shape":
        guard shape == nil else { throw scanner.error("tensor '\(name)' has two shapes") }
        shape = try readIntegers(&scanner, limit: maximumDimensions, "dimensions", of: name)
      case "data_offsets":
        guard offsets == nil else { throw scanner.error("tensor '\(name)' has two data_offsets") }
        offsets = try readIntegers(&scanner, limit: 2, "data_offsets", of: name)
      default:
        // The reference reader ignores fields that it does not know.
        try scanner.skipValue()
      }
    }
    guard let type, let shape, let offsets else {
      throw scanner.error("tensor '\(name)' lacks dtype, shape or data_offsets")
    }
    return try checkedEntry(name, type, shape, offsets, scanner)
  }

  private static func checkedEntry(
    _ name: String, _ type: ElementType, _ shape: [UInt64], _ offsets: [UInt64],
    _ scanner: JSONScanner
  ) throws(JSONError) -> Entry {
    guard offsets.count == 2, offsets[0] <= offsets[1], let begin = Int(exactly: offsets[0]),
      let end = Int(exactly: offsets[1])
    else { throw scanner.error("tensor '\(name)' has impossible data_offsets \(offsets)") }
    guard shape.allSatisfy({ $0 <= UInt64(Int.max) }),
      let size = tensorSize(shape: shape, type: type)
    else { throw scanner.error("tensor '\(name)' has an impossible shape \(shape)") }
    guard end - begin == size.bytes else {
      throw scanner.error(
        "tensor '\(name)' of shape \(shape) and type \(type.name) needs \(size.bytes) bytes, its "
          + "data_offsets give \(end - begin)")
    }
    return Entry(name: name, type: type, shape: shape.map(Int.init), begin: begin, end: end)
  }

  private static func readIntegers(
    _ scanner: inout JSONScanner, limit: Int, _ what: String, of name: String
  ) throws(JSONError) -> [UInt64] {
    var integers: [UInt64] = []
    try scanner.readArray { (scanner) throws(JSONError) in
      guard integers.count < limit else {
        throw scanner.error("tensor '\(name)' has more than \(limit) \(what)")
      }
      integers.append(try scanner.readUInt64())
    }
    return integers
  }

  private static func checkTiling(
    _ entries: [Entry], dataCount: Int, in file: MappedFile
  ) throws(ModelFileError) {
    var end = 0
    for entry in entries.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
      guard entry.begin == end else {
        throw file.malformed(
          "tensor '\(entry.name)' begins at byte \(entry.begin) of the data, expected \(end): "
            + "tensors must not overlap or leave gaps")
      }
      end = entry.end
    }
    guard end == dataCount else {
      throw file.malformed(
        end > dataCount
          ? "the data ends \(decimalSize(UInt64(end - dataCount))) early: the file is cut short, "
            + "download it again"
          : "\(dataCount - end) bytes after the last tensor are not part of any")
    }
  }
}
