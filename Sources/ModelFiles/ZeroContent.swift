/// What the bytes of a tensor looked like when they were read.
package struct StoredContent: Sendable {
  package let file: MappedFile
  package let name: String
  /// Whether it has rows and columns.
  private(set) var isMatrix: Bool
  /// Bytes of a row of a token embedding, which may be padded with rows of zeros; 0 for others.
  let tableRowBytes: Int
  /// Where it lies in the file.
  private(set) var range: Range<Int>
  /// Whether it is known to be as it was written, zeros and all.
  package var isIntact = false
  /// Where its last byte that is not zero ends; the beginning of `range` if it has none.
  private(set) var end: Int

  /// - Parameters:
  ///   - file: the file.
  ///   - name: the tensor's name in it.
  ///   - shape: its dimensions.
  ///   - isTokenTable: whether its rows are tokens, the last of which may be padding.
  ///   - range: where it lies.
  ///   - end: where its last byte that is not zero ends in the file; nil if it has none.
  package init(
    _ file: MappedFile, name: String, shape: [Int], isTokenTable: Bool = false, range: Range<Int>,
    end: Int?
  ) {
    self.file = file
    self.name = name
    isMatrix = shape.count { $0 > 1 } > 1
    tableRowBytes = isTokenTable && isMatrix ? range.count / max(1, shape.first ?? 1) : 0
    self.range = range
    self.end = min(range.upperBound, max(range.lowerBound, end ?? range.lowerBound))
  }

  /// Adds the rest of a tensor that was read in pieces.
  ///
  /// - Parameter next: what was read of the same file.
  /// - Returns: whether it begins where this ends, in the same tensor.
  fileprivate mutating func append(_ next: StoredContent) -> Bool {
    guard next.name == name, next.range.lowerBound == range.upperBound else { return false }
    range = range.lowerBound..<next.range.upperBound
    if next.end > next.range.lowerBound { end = next.end }
    isMatrix = isMatrix || next.isMatrix
    isIntact = isIntact && next.isIntact
    return true
  }
}

/// Finds zeros that stand where weights should be: tools that reserve the room of a download before
/// it comes, and failing disks, leave them.
package enum ZeroContent {
  /// Something found.
  package enum Finding: Sendable {
    /// A matrix without any other number.
    case matrix(StoredContent)
    /// Rows of zeros at the end of a token embedding, which ends the file: padding as a rule.
    case padding(StoredContent, from: Int)
    /// From a byte on, which lies in or before the first of some tensors, a file holds nothing
    /// else.
    case tail(StoredContent, from: Int, tensorCount: Int)
  }

  /// Least run of zeros at the end of matrices that is not chance: a disk's sector.
  private static let fewestBytes = 512

  /// Looks through the tensors of one or more files.
  ///
  /// - Parameters:
  ///   - contents: what was read.
  ///   - contentEnd: where the last tensor of a file ends, by its path; only what reaches it is the
  ///     file's end.
  /// - Returns: tails first.
  package static func findings(
    _ contents: [StoredContent], contentEnd: (MappedFile) -> Int = { _ in 0 }
  ) -> [Finding] {
    var byFile: [ObjectIdentifier: [StoredContent]] = [:]
    for content in contents where !content.range.isEmpty {
      byFile[ObjectIdentifier(content.file), default: []].append(content)
    }
    var findings: [Finding] = []
    var seen: Set<Int> = []
    for file in byFile.values.sorted(by: { $0[0].file.path < $1[0].file.path }) {
      let ordered = joined(file.sorted { $0.range.lowerBound < $1.range.lowerBound })
      let last = ordered.map(\.range.upperBound).max() ?? 0
      let tail = last >= contentEnd(ordered[0].file) ? tail(of: ordered) : nil
      if let tail { findings.append(tail.finding) }
      seen.removeAll()
      for content in ordered.dropLast(tail?.count ?? 0)
      where content.isMatrix && content.end == content.range.lowerBound
        && seen.insert(content.range.lowerBound).inserted
      {
        findings.append(.matrix(content))
      }
    }
    return findings
  }

  /// Tensors as they lie in a file, whether or not they were read in pieces.
  private static func joined(_ ordered: [StoredContent]) -> [StoredContent] {
    ordered.reduce(into: []) { result, next in
      if let last = result.indices.last, result[last].append(next) { return }
      result.append(next)
    }
  }

  /// The zeros at the end of a file; nil if they are few or in vectors only, such as biases.
  private static func tail(
    of ordered: [StoredContent]
  ) -> (finding: Finding, count: Int)? {
    var (start, bytes, count) = (0, 0, 0)
    for content in ordered.reversed() {
      guard content.end < content.range.upperBound, !(content.isIntact && content.isMatrix) else {
        break
      }
      start = content.end
      count += 1
      if content.isMatrix { bytes += content.range.upperBound - content.end }
      guard content.end == content.range.lowerBound else { break }
    }
    guard bytes >= fewestBytes, count > 0 else { return nil }
    let first = ordered[ordered.count - count]
    // The last byte of the last row may be a zero too.
    if count == 1, first.tableRowBytes > 0, start > first.range.lowerBound {
      let rest = (start - first.range.lowerBound) % first.tableRowBytes
      if rest == 0 || first.tableRowBytes - rest < 8 {
        return (.padding(first, from: start), count)
      }
    }
    return (.tail(first, from: start, tensorCount: count), count)
  }

  /// Bytes up to the last one that is not zero.
  package static func end(of bytes: UnsafeRawBufferPointer) -> Int {
    var end = bytes.count
    guard let base = bytes.baseAddress else { return 0 }
    while end >= 64 {
      // In words: a tensor of gigabytes may have no other byte.
      var seen: UInt64 = 0
      for word in 1...8 {
        seen |= base.loadUnaligned(fromByteOffset: end &- 8 &* word, as: UInt64.self)
      }
      guard seen == 0 else { break }
      end -= 64
    }
    while end > 0, bytes[end - 1] == 0 { end -= 1 }
    return end
  }
}

extension ZeroContent.Finding {
  /// The tensor and what is wrong, without its file.
  package var fault: String {
    switch self {
    case .padding(_, let start):
      return
        "ends in rows of zeros from byte \(start) on: padding as a rule, else the end of a download"
    case .matrix: return "is zero throughout: it may never have been downloaded or copied"
    case .tail(let content, let start, let count):
      let others = count > 1 ? " and \(count - 1) tensors after it" : ""
      let place = start > content.range.lowerBound ? "inside of" : "before"
      return
        "holds nothing but zeros from byte \(start) of \(content.file.size) on, \(place) tensor "
        + "'\(content.name)'\(others): the download or copy stopped there, download it again"
    }
  }

  /// The file.
  package var path: String {
    switch self {
    case .matrix(let content), .padding(let content, _), .tail(let content, _, _):
      content.file.path
    }
  }

  /// The tensor that it is about; nil for a file's end.
  package var tensor: String? {
    switch self {
    case .matrix(let content), .padding(let content, _): content.name
    case .tail: nil
    }
  }
}
