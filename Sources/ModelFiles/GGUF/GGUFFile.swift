import BlockFormats
import StrictJSON

/// A GGUF file (version 2 or 3, little-endian), opened and checked from its first to its last
/// field: everything that this type hands out lies inside the file.
///
/// Format: ggml `docs/gguf.md`. Stricter than most readers: offsets are aligned, tensors do not
/// overlap, names and keys are unique non-empty UTF-8.
public struct GGUFFile: Sendable {
  /// Maximum number of metadata pairs of a file.
  public static let maximumPairCount = 1 << 16
  /// Deepest nesting of metadata arrays.
  public static let maximumArrayDepth = 4
  /// Longest tensor name and metadata key, in bytes.
  public static let maximumNameLength = 65_535
  /// Maximum number of dimensions of a tensor (ggml's limit).
  public static let maximumDimensions = 4

  /// 2 or 3.
  public let version: Int
  /// Metadata in file order.
  public let metadata: [(key: String, value: GGUFValue)]
  /// Tensors in file order.
  public let tensors: TensorTable
  /// Alignment of tensor data, in bytes.
  public let alignment: Int
  package let file: MappedFile
  private let indexByKey: [ExactName: Int]

  /// Opens and checks a file.
  ///
  /// - Throws: `ModelFileError` naming the first fault.
  package init(_ file: MappedFile) throws(ModelFileError) {
    self.file = file
    var reader = ByteReader(file)
    let header = try Self.readHeader(&reader)
    version = header.version
    (metadata, indexByKey) = try Self.readMetadata(&reader, count: header.pairCount)
    alignment = try Self.checkedAlignment(
      indexByKey[ExactName("general.alignment")].map { [metadata] in metadata[$0].value }, in: file)
    let infos = try Self.readTensorInfos(&reader, count: header.tensorCount)
    tensors = try Self.locate(infos, after: reader.offset, alignment: alignment, in: file)
  }

  /// The value of a metadata key.
  public func value(for key: String) -> GGUFValue? {
    indexByKey[ExactName(key)].map { metadata[$0].value }
  }

  /// Goes through the metadata in file order.
  ///
  /// Pages that lie behind are given back, so that showing hundreds of megabytes of values does not
  /// make them resident.
  package func forEachPair(_ body: (_ key: String, _ value: GGUFValue) -> Void) {
    var released = 0
    for (key, value) in metadata {
      body(key, value)
      if value.range.upperBound - released > 8 << 20 {
        file.release(released..<value.range.upperBound)
        released = value.range.upperBound
      }
    }
  }

  // MARK: Sections

  private static func readHeader(
    _ reader: inout ByteReader
  ) throws(ModelFileError) -> (version: Int, tensorCount: Int, pairCount: Int) {
    _ = try reader.skip(4, "magic")
    let version = try reader.read(UInt32.self, "version")
    guard version == 2 || version == 3 else {
      let hint =
        version.byteSwapped == 2 || version.byteSwapped == 3
        ? "a big-endian file; only little-endian ones are supported"
        : "expected 2 or 3: convert the model with a current tool"
      throw reader.file.malformed("GGUF version \(version): \(hint)")
    }
    let tensorCount = try reader.read(UInt64.self, "tensor count")
    let pairCount = try reader.read(UInt64.self, "metadata count")
    // The smallest tensor info has 25 bytes, the smallest metadata pair 14.
    for (count, what, size, limit) in [
      (tensorCount, "tensors", 24, TensorTable.maximumCount),
      (pairCount, "metadata pairs", 13, maximumPairCount),
    ] {
      guard count <= UInt64(reader.remaining / size) else {
        throw reader.file.malformed(
          "claims \(count) \(what), which \(reader.remaining) bytes cannot hold: the file is "
            + "damaged or cut short")
      }
      guard count <= UInt64(limit) else {
        throw reader.file.malformed("has \(count) \(what), the limit is \(limit)")
      }
    }
    return (Int(version), Int(tensorCount), Int(pairCount))
  }

  private static func readMetadata(
    _ reader: inout ByteReader, count: Int
  ) throws(ModelFileError) -> ([(key: String, value: GGUFValue)], [ExactName: Int]) {
    var pairs: [(key: String, value: GGUFValue)] = []
    var indexByKey: [ExactName: Int] = [:]
    var keyBytes = NameBudget("metadata keys", of: reader.file)
    for index in 0..<count {
      let key = try reader.readName(limit: maximumNameLength, "metadata key \(index)")
      try keyBytes.spend(key)
      let typeNumber = try reader.read(UInt32.self, "type of metadata '\(key)'")
      guard let type = GGUFValueType(rawValue: typeNumber) else {
        throw reader.file.malformed("metadata '\(key)' has unknown type \(typeNumber)")
      }
      let value = try GGUFValue.read(type, from: &reader, what: "metadata '\(key)'")
      guard indexByKey.updateValue(index, forKey: ExactName(key)) == nil else {
        throw reader.file.malformed("metadata '\(key)' occurs twice")
      }
      pairs.append((key, value))
    }
    return (pairs, indexByKey)
  }

  private static func checkedAlignment(
    _ value: GGUFValue?, in file: MappedFile
  ) throws(ModelFileError) -> Int {
    guard let value else { return 32 }
    guard value.type == .uint32, let alignment = value.integer else {
      throw file.malformed(
        "metadata 'general.alignment' is of type \(value.type.name), expected uint32")
    }
    guard alignment > 0, alignment % 8 == 0 || alignment & (alignment - 1) == 0 else {
      throw file.malformed(
        "metadata 'general.alignment' is \(alignment), expected a power of two or a multiple of 8")
    }
    return alignment
  }

  private struct TensorInfo {
    let name: String
    let type: ElementType
    let dimensions: [UInt64]
    let offset: UInt64
  }

  private static func readTensorInfos(
    _ reader: inout ByteReader, count: Int
  ) throws(ModelFileError) -> [TensorInfo] {
    var infos: [TensorInfo] = []
    var nameBytes = NameBudget("tensor names", of: reader.file)
    for index in 0..<count {
      let name = try reader.readName(limit: maximumNameLength, "name of tensor \(index)")
      try nameBytes.spend(name)
      let dimensionCount = try reader.read(UInt32.self, "dimensions of tensor '\(name)'")
      guard dimensionCount <= UInt32(maximumDimensions) else {
        throw reader.file.malformed(
          "tensor '\(name)' has \(dimensionCount) dimensions, at most \(maximumDimensions)")
      }
      var dimensions: [UInt64] = []
      for _ in 0..<dimensionCount {
        dimensions.append(try reader.read(UInt64.self, "dimensions of tensor '\(name)'"))
      }
      let typeNumber = try reader.read(UInt32.self, "type of tensor '\(name)'")
      guard let type = ElementType(ggufID: typeNumber) else {
        throw unknownType(typeNumber, of: name, in: reader.file)
      }
      let offset = try reader.read(UInt64.self, "offset of tensor '\(name)'")
      infos.append(TensorInfo(name: name, type: type, dimensions: dimensions, offset: offset))
    }
    return infos
  }

  /// The error about a number that stands for no type.
  private static func unknownType(
    _ number: UInt32, of name: String, in file: MappedFile
  ) -> ModelFileError {
    func unsupported(_ fault: String) -> ModelFileError {
      ModelFileError(path: file.path, kind: .unsupported, fault: fault)
    }
    if let removed = ElementType.removedName(ggufID: number) {
      return unsupported(
        "tensor '\(name)' is of type \(removed) (number \(number)), which ggml has removed: take "
          + "another quantization of the model")
    }
    // Forks of ggml number their own types by hundreds.
    guard number < 1 << 16 else {
      return file.malformed(
        "tensor '\(name)' has type number \(number), which ggml never had: the file is damaged, "
          + "download it again")
    }
    let known = ElementType.ggufTypes.map(\.name).joined(separator: ", ")
    return unsupported(
      "tensor '\(name)' has unknown type number \(number): update this program or take another "
        + "quantization of the model (known are \(known))")
  }

  // MARK: Tensor data

  private static func locate(
    _ infos: [TensorInfo], after end: Int, alignment: Int, in file: MappedFile
  ) throws(ModelFileError) -> TensorTable {
    let dataStart = (UInt64(end) + UInt64(alignment) - 1) / UInt64(alignment) * UInt64(alignment)
    var records: [TensorRecord] = []
    for info in infos {
      records.append(
        try record(
          of: info, dataStart: dataStart, alignment: UInt64(alignment), in: file,
          expectedSize: { expectedSize(infos, dataStart: dataStart) }))
    }
    try checkOverlap(records, in: file)
    switch TensorTable.make(records) {
    case .success(let table): return table
    case .failure(let duplicate):
      throw file.malformed("tensor '\(duplicate.name)' occurs twice")
    }
  }

  /// Bytes that the file should have, as far as its tensors tell.
  private static func expectedSize(_ infos: [TensorInfo], dataStart: UInt64) -> UInt64 {
    infos.reduce(0) { size, info in
      guard let bytes = tensorSize(shape: info.dimensions, type: info.type)?.bytes else {
        return size
      }
      let (start, startOverflow) = dataStart.addingReportingOverflow(info.offset)
      let (end, endOverflow) = start.addingReportingOverflow(UInt64(bytes))
      return startOverflow || endOverflow ? size : max(size, end)
    }
  }

  private static func record(
    of info: TensorInfo, dataStart: UInt64, alignment: UInt64, in file: MappedFile,
    expectedSize: () -> UInt64
  ) throws(ModelFileError) -> TensorRecord {
    let shape = info.dimensions.reversed().map { $0 }
    // Blocks never cross rows: the fastest dimension itself must be whole blocks.
    let rowLength = info.dimensions.first ?? 1
    guard rowLength % UInt64(info.type.elementsPerBlock) == 0 else {
      throw file.malformed(
        "tensor '\(info.name)' has rows of \(rowLength) elements, \(info.type.name) needs a "
          + "multiple of \(info.type.elementsPerBlock)")
    }
    guard let size = tensorSize(shape: info.dimensions, type: info.type),
      info.dimensions.allSatisfy({ $0 <= UInt64(Int.max) })
    else {
      throw file.malformed("tensor '\(info.name)' has impossible dimensions \(info.dimensions)")
    }
    guard info.offset % alignment == 0 else {
      throw file.malformed(
        "tensor '\(info.name)' starts at offset \(info.offset), expected a multiple of \(alignment)"
      )
    }
    let (start, startOverflow) = dataStart.addingReportingOverflow(info.offset)
    let (end, endOverflow) = start.addingReportingOverflow(UInt64(size.bytes))
    guard !startOverflow, !endOverflow, end <= UInt64(file.size) || size.bytes == 0,
      let byteOffset = Int(exactly: start)
    else {
      let expected = expectedSize()
      let missing =
        expected > UInt64(file.size)
        ? "ends \(decimalSize(expected - UInt64(file.size))) early: " : ""
      throw file.malformed(
        "\(missing)tensor '\(info.name)' needs \(size.bytes) bytes at offset \(info.offset) of the "
          + "data, the file has \(file.size) bytes in all: it is damaged or cut short, "
          + "download it again")
    }
    return TensorRecord(
      name: info.name, type: info.type, shape: shape.map(Int.init), byteOffset: byteOffset,
      byteCount: size.bytes)
  }

  private static func checkOverlap(
    _ records: [TensorRecord], in file: MappedFile
  ) throws(ModelFileError) {
    let ordered = records.filter { $0.byteCount > 0 }.sorted { $0.byteOffset < $1.byteOffset }
    for (left, right) in zip(ordered, ordered.dropFirst())
    where left.byteOffset + left.byteCount > right.byteOffset {
      throw file.malformed("tensors '\(left.name)' and '\(right.name)' overlap")
    }
  }
}
