/// Vocabulary pieces by their exact UTF-8 bytes.
///
/// A `Dictionary` keyed by `String` would take a composed and a decomposed "é" for the same piece;
/// one keyed by arrays would allocate for every lookup. All pieces lie in one buffer here, under an
/// open-addressing index with the standard library's seeded hash.
struct PieceTable: Sendable {
  private var bytes: [UInt8] = []
  /// Where each piece ends in `bytes`.
  private var ends: [Int] = []
  private var ids: [Int32] = []
  /// Positions in `ids`, or -1; the count is a power of two.
  private var slots: [Int32]
  /// Length of the longest piece: no longer text needs to be looked up.
  private(set) var longestPiece = 0

  /// An empty table.
  ///
  /// - Parameter capacity: how many pieces will be inserted; more are possible.
  init(capacity: Int) {
    var size = 16
    while size < 2 * capacity { size *= 2 }
    slots = Array(repeating: -1, count: size)
  }

  var count: Int { ids.count }

  /// Adds a piece; returns false and leaves the table as it is if the piece is there already.
  mutating func insert(_ piece: ArraySlice<UInt8>, id: Int32) -> Bool {
    if 2 * (count + 1) > slots.count { grow() }
    let slot = slot(of: piece)
    guard slots[slot] < 0 else { return false }
    slots[slot] = Int32(truncatingIfNeeded: count)
    bytes.append(contentsOf: piece)
    ends.append(bytes.count)
    ids.append(id)
    longestPiece = max(longestPiece, piece.count)
    return true
  }

  /// The id of a piece; nil if it is not in the vocabulary.
  func id(of piece: ArraySlice<UInt8>) -> Int32? {
    guard piece.count <= longestPiece else { return nil }
    let index = slots[slot(of: piece)]
    return index < 0 ? nil : ids[Int(index)]
  }

  func id(of piece: some Sequence<UInt8>) -> Int32? { id(of: Array(piece)[...]) }

  /// The ids of the 256 byte pieces `<0x00>` to `<0xFF>`, in order; nil where one is missing.
  func byteIDs() -> [Int32?] {
    (0...255).map { byte in id(of: Self.nameOfByte(byte).utf8) }
  }

  /// The piece that stands for a byte, as in `<0x0A>`.
  static func nameOfByte(_ byte: Int) -> String {
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x" + (digits.count < 2 ? "0" : "") + digits + ">"
  }

  /// The slot that holds a piece, or the free slot where it belongs.
  private func slot(of piece: ArraySlice<UInt8>) -> Int {
    let mask = slots.count - 1
    var slot = Self.hash(piece) & mask
    while slots[slot] >= 0, !isPiece(Int(slots[slot]), piece) { slot = (slot + 1) & mask }
    return slot
  }

  private func isPiece(_ index: Int, _ piece: ArraySlice<UInt8>) -> Bool {
    bytes[range(index)].elementsEqual(piece)
  }

  private func range(_ index: Int) -> Range<Int> {
    (index == 0 ? 0 : ends[index - 1])..<ends[index]
  }

  private static func hash(_ piece: ArraySlice<UInt8>) -> Int {
    var hasher = Hasher()
    piece.withUnsafeBytes { hasher.combine(bytes: $0) }
    return hasher.finalize()
  }

  private mutating func grow() {
    slots = Array(repeating: -1, count: 2 * slots.count)
    for index in ids.indices {
      slots[slot(of: bytes[range(index)])] = Int32(truncatingIfNeeded: index)
    }
  }
}
