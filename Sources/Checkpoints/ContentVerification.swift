import BlockFormats
import Machine
import ModelFiles
import Synchronization

/// Reads every tensor of a model once: are all numbers finite, do contents still have the hashes
/// that were stored with them?
///
/// Tensors are shared out over threads; of each, a few megabytes are in memory at a time.
package struct ContentVerification {
  /// Bytes that are looked at together, small enough for a CPU's cache.
  private static let pieceBytes = 256 << 10
  /// Bytes that are in memory together, and asked for ahead.
  private static let chunkBytes = 4 << 20

  /// One tensor to read.
  private struct Item: Sendable {
    let file: MappedFile
    let record: TensorRecord
    let hash: UInt64?
  }

  /// What was found in one.
  private struct Finding {
    var nonFinite: (first: Int, count: Int)?
    /// Where the last byte that is not zero ends in the file.
    var contentEnd: Int?
    var hash: UInt64?
    var error: ModelFileError?
  }

  private let items: [Item]
  /// Stored hashes that could not be used.
  private let hashProblems: [VerificationProblem]
  private let catalog: FamilyCatalog

  /// Tensors to read.
  package var tensorCount: Int { items.count }
  /// Tensors whose hash was stored.
  package var hashCount: Int { items.count { $0.hash != nil } }
  /// Bytes of all tensors.
  package var byteCount: Int { items.reduce(0) { $0 + $1.record.byteCount } }

  /// - Parameter inspection: an opened model.
  package init(_ inspection: ModelInspection) {
    var items: [Item] = []
    var problems: [VerificationProblem] = []
    for archive in inspection.contents.map(\.archive) {
      var hashes = [UInt64?](repeating: nil, count: archive.tensors.records.count)
      do throws(ModelFileError) {
        hashes = try archive.tensorHashes()
      } catch {
        problems.append(VerificationProblem(error))
      }
      for (index, record) in archive.tensors.records.enumerated() {
        items.append(Item(file: archive.file(of: index), record: record, hash: hashes[index]))
      }
    }
    self.items = items
    catalog = inspection.catalog
    hashProblems = problems
  }

  /// Reads everything.
  ///
  /// - Parameters:
  ///   - pool: threads to work on.
  ///   - progress: told how many bytes were read in all, on any thread.
  /// - Returns: all problems, in file order.
  /// - Throws: `ComputeError` if the pool is cancelled.
  package func run(
    on pool: ThreadPool, progress: @Sendable (_ readBytes: Int) -> Void
  ) throws(ComputeError) -> [VerificationProblem] {
    let findings = Mutex([Finding](repeating: Finding(), count: items.count))
    let readBytes = Atomic(0)
    try pool.run(items.count) { index, _ in
      let finding = Self.read(items[index], isCancelled: { pool.isCancelled }) { count in
        progress(readBytes.wrappingAdd(count, ordering: .relaxed).newValue)
      }
      findings.withLock { $0[index] = finding }
    }
    let found = findings.withLock { $0 }
    return hashProblems + zeroProblems(found) + zip(items, found).flatMap(Self.problems)
  }

  /// Zeros where weights should be. What has the hash that it was written with was made so.
  private func zeroProblems(_ found: [Finding]) -> [VerificationProblem] {
    let contents = zip(items, found).compactMap { item, finding -> StoredContent? in
      guard finding.error == nil else { return nil }
      let range = item.record.byteOffset..<item.record.byteOffset + item.record.byteCount
      var content = StoredContent(
        item.file, name: item.record.name, shape: item.record.shape,
        isTokenTable: catalog.isTokenTable(item.record.name), range: range, end: finding.contentEnd)
      content.isIntact = item.hash != nil && item.hash == finding.hash
      return content
    }
    return ZeroContent.findings(contents).map { finding in
      let severity: VerificationProblem.Severity = finding.tensor == nil ? .error : .warning
      return VerificationProblem(
        severity, path: finding.path, tensor: finding.tensor, finding.fault)
    }
  }

  // MARK: One tensor

  private static func read(
    _ item: Item, isCancelled: () -> Bool, progress: (Int) -> Void
  ) -> Finding {
    var finding = Finding()
    var hash = XXHash64()
    let record = item.record
    let block = record.type.bytesPerBlock
    let chunk = max(1, chunkBytes / block) * block
    do throws(ModelFileError) {
      for start in stride(from: 0, to: record.byteCount, by: chunk) {
        if isCancelled() { return finding }
        let end = min(record.byteCount, start + chunk)
        let range = record.byteOffset + start..<record.byteOffset + end
        let next = range.upperBound..<min(range.upperBound + chunk, item.file.size)
        if end < record.byteCount { item.file.prefetch(next) }
        try withBytes(of: item.file, range) { bytes in
          look(at: bytes, of: record, firstBlock: start / block, item.hash != nil, &hash, &finding)
          let end = ZeroContent.end(of: bytes)
          if end > 0 { finding.contentEnd = range.lowerBound + end }
        }
        progress(range.count)
      }
      try item.file.checkUnchanged()
    } catch {
      finding.error = error
    }
    finding.hash = item.hash == nil ? nil : hash.value
    return finding
  }

  /// Calls `body` with bytes of a file that are not in memory afterwards.
  private static func withBytes(
    of file: MappedFile, _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void
  ) throws(ModelFileError) {
    if let base = file.wholeContent {
      body(UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
      return file.release(range)
    }
    let content = try file.content(range)
    withExtendedLifetime(content) {
      body(UnsafeRawBufferPointer(start: content.pointer, count: range.count))
    }
  }

  private static func look(
    at bytes: UnsafeRawBufferPointer, of record: TensorRecord, firstBlock: Int, _ isHashed: Bool,
    _ hash: inout XXHash64, _ finding: inout Finding
  ) {
    let type = record.type
    let piece = max(1, pieceBytes / type.bytesPerBlock) * type.bytesPerBlock
    for start in stride(from: 0, to: bytes.count, by: piece) {
      let part = UnsafeRawBufferPointer(
        rebasing: bytes[start..<min(bytes.count, start + piece)])
      guard let base = part.baseAddress else { return }
      if isHashed { hash.update(part) }
      let blocks = part.count / type.bytesPerBlock
      guard type.hasNonFinite(base, blocks: blocks) else { continue }
      let found = type.nonFiniteBlocks(base, blocks: blocks)
      let first = firstBlock + start / type.bytesPerBlock + (found.first ?? 0)
      finding.nonFinite = (
        finding.nonFinite?.first ?? first, (finding.nonFinite?.count ?? 0) + found.count
      )
    }
  }

  // MARK: Words

  private static func problems(_ item: Item, _ finding: Finding) -> [VerificationProblem] {
    func problem(_ fault: String) -> VerificationProblem {
      VerificationProblem(.error, path: item.file.path, tensor: item.record.name, fault)
    }
    if let error = finding.error { return [VerificationProblem(error)] }
    let isIntact = item.hash != nil && item.hash == finding.hash
    var problems: [VerificationProblem] = []
    if let stored = item.hash, let hash = finding.hash, stored != hash {
      problems.append(
        problem(
          "is not what was written: its content has the hash \(TensorHashes.text(hash)), stored is "
            + "\(TensorHashes.text(stored)); copy or download the file again"))
    }
    if let (first, count) = finding.nonFinite {
      let advice =
        isIntact
        ? "the file is as it was written, so the model itself is broken: take another version"
        : "download it again, or take another version"
      problems.append(problem("\(describe(first, count, of: item.record)): \(advice)"))
    }
    return problems
  }

  private static func describe(_ first: Int, _ count: Int, of record: TensorRecord) -> String {
    let columns = max(1, record.shape.last ?? 1)
    let width = record.type.elementsPerBlock
    let (row, column) = (first * width / columns, first * width % columns)
    guard record.type.isBlockQuantized else {
      return
        "has \(count) NaN or infinite values of \(record.elementCount), the first in row \(row), "
        + "column \(column)"
    }
    return "has NaN or infinite scales in \(count) blocks of \(record.elementCount / width), the "
      + "first in row \(row), columns \(column) to \(column + width - 1)"
  }
}
