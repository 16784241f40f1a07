import BlockFormats

/// What is known of a tensor before its content is written.
package struct TensorDeclaration: Sendable {
  package let name: String
  package let type: ElementType
  /// Dimensions in row-major order, slowest first.
  package let shape: [Int]

  package init(name: String, type: ElementType, shape: [Int]) {
    self.name = name
    self.type = type
    self.shape = shape
  }

  /// Bytes of the content; nil if rows are not whole blocks or the size overflows.
  package var byteCount: Int? {
    guard shape.allSatisfy({ $0 >= 0 }), (shape.last ?? 1) % type.elementsPerBlock == 0 else {
      return nil
    }
    return tensorSize(shape: shape.map(UInt64.init), type: type)?.bytes
  }
}

/// Where everything goes in a file of tensors: a header, then contents in the declared order, each
/// followed by padding.
package struct TensorFileLayout: Sendable {
  let header: [UInt8]
  /// For each tensor, its bytes and the zeros behind it.
  let contents: [(byteCount: Int, padding: Int)]
  /// Where the hashes of the contents go; nil if the file holds none.
  let hashes: TensorHashes.Place?
  /// Bytes of the whole file.
  package let byteCount: Int
  /// Bytes of the contents alone.
  package var contentByteCount: Int { contents.reduce(0) { $0 + $1.byteCount } }

  init(
    header: [UInt8], contents: [(byteCount: Int, padding: Int)], hashes: TensorHashes.Place? = nil
  ) {
    self.header = header
    self.contents = contents
    self.hashes = hashes
    byteCount = contents.reduce(header.count) { $0 + $1.byteCount + $1.padding }
  }

  /// Sizes of tensors, checked against what every container demands.
  ///
  /// - Parameters:
  ///   - tensors: the tensors in file order.
  ///   - path: the file, for messages.
  /// - Returns: bytes of each content.
  /// - Throws: `ModelFileError` for an impossible shape or a name that occurs twice.
  static func byteCounts(
    _ tensors: [TensorDeclaration], path: String
  ) throws(ModelFileError) -> [Int] {
    var total = 0
    var counts: [Int] = []
    for tensor in tensors {
      let sum = tensor.byteCount.map { total.addingReportingOverflow($0) }
      guard let count = tensor.byteCount, let sum, !sum.overflow else {
        throw refusal(path, tensor, "of shape \(tensor.shape) cannot be of type", tensor.type.name)
      }
      total = sum.partialValue
      counts.append(count)
    }
    let records = tensors.map {
      TensorRecord(name: $0.name, type: $0.type, shape: $0.shape, byteOffset: 0, byteCount: 0)
    }
    if case .failure(let duplicate) = TensorTable.make(records) {
      throw ModelFileError(
        path: path, kind: .unsupported, fault: "tensor '\(duplicate.name)' is declared twice")
    }
    return counts
  }

  /// The error about a tensor that a container cannot hold.
  static func refusal(
    _ path: String, _ tensor: TensorDeclaration, _ what: String, _ value: String
  ) -> ModelFileError {
    ModelFileError(
      path: path, kind: .unsupported, fault: "tensor '\(tensor.name)' \(what) \(value)")
  }
}

/// Writes a file of tensors as a stream: the layout first, then contents in its order, in pieces of
/// any size. Nothing but the header is held in memory.
///
/// Where the layout asks for it, contents are hashed on their way, and the hashes put into the
/// header at the end. The file appears under its name only when `finish` has returned; an object
/// that goes before leaves nothing behind.
package final class TensorFileWriter {
  private static let zeros = [UInt8](repeating: 0, count: 64)

  /// What is being written.
  package let layout: TensorFileLayout
  private let stream: AtomicFileStream
  /// Index of the tensor that the next bytes belong to.
  private var tensor = 0
  /// Bytes that it still lacks.
  private var missing = 0
  /// The hash of its bytes so far, and those of the tensors before it.
  private var hash = XXHash64()
  private var hashes: [UInt64] = []
  /// Pipes are past when the hashes are known; zeros stand for none there.
  private let isHashing: Bool

  /// Creates a temporary file and writes the header. What a killed run left of the same file is
  /// removed.
  ///
  /// - Parameters:
  ///   - path: where the file will be.
  ///   - overwrite: whether an existing file may be replaced.
  ///   - layout: from `GGUFWriter.layout` or `SafetensorsWriter.layout`.
  /// - Throws: `ModelFileError` if the name is taken, the disk too full or writing fails.
  package init(
    path: String, overwrite: Bool, layout: TensorFileLayout
  ) throws(ModelFileError) {
    self.layout = layout
    AtomicFile.removeLeftovers(of: path)
    stream = try AtomicFileStream(path: path, overwrite: overwrite, byteCount: layout.byteCount)
    isHashing = layout.hashes != nil && stream.isRewritable
    try layout.header.withUnsafeBytes { [stream] bytes in
      Result { () throws(ModelFileError) in try stream.write(bytes) }
    }.get()
    missing = layout.contents.first?.byteCount ?? 0
    try skipFinished()
  }

  /// Appends to the content of the first tensor that is not complete yet.
  ///
  /// - Parameter bytes: a piece of the content, at most what the tensor still lacks.
  /// - Throws: `ModelFileError` if writing fails.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(ModelFileError) {
    precondition(bytes.count <= missing, "more bytes than the tensor was declared with")
    try stream.write(bytes)
    if isHashing { hash.update(bytes) }
    missing -= bytes.count
    try skipFinished()
  }

  /// Waits until everything written is on the disk, which takes most of `finish`'s time.
  ///
  /// - Throws: `ModelFileError` if it cannot be.
  package func flush() throws(ModelFileError) { try stream.flush() }

  /// Completes the file and gives it its name. Every content must have been written.
  ///
  /// - Throws: `ModelFileError` if the system refuses; then nothing is left.
  package func finish() throws(ModelFileError) {
    try complete()
    try stream.commit()
  }

  /// Completes the file and gives it its name, or another one if it cannot have that.
  ///
  /// - Returns: where it is instead; nil if it has its name.
  /// - Throws: `ModelFileError` if the content is not whole, or no place takes it.
  package func finishAnywhere() throws(ModelFileError) -> RescuedFile? {
    try complete()
    return try stream.commitAnywhere()
  }

  private func complete() throws(ModelFileError) {
    precondition(tensor == layout.contents.count, "a tensor's content is missing")
    guard isHashing, let place = layout.hashes else { return }
    try TensorHashes.encode(hashes, as: place.encoding).withUnsafeBytes { [stream] bytes in
      Result { () throws(ModelFileError) in try stream.replace(bytes, at: place.offset) }
    }.get()
  }

  /// Removes what was written; does nothing after `finish`.
  package func discard() { stream.discard() }

  /// Pads complete tensors and goes on to the next that has bytes.
  private func skipFinished() throws(ModelFileError) {
    while tensor < layout.contents.count, missing == 0 {
      var padding = layout.contents[tensor].padding
      while padding > 0 {
        let count = min(padding, Self.zeros.count)
        try Self.zeros.withUnsafeBytes { [stream] bytes in
          Result { () throws(ModelFileError) in
            try stream.write(UnsafeRawBufferPointer(rebasing: bytes.prefix(count)))
          }
        }.get()
        padding -= count
      }
      if isHashing {
        hashes.append(hash.value)
        hash = XXHash64()
      }
      tensor += 1
      missing = tensor < layout.contents.count ? layout.contents[tensor].byteCount : 0
    }
  }
}
