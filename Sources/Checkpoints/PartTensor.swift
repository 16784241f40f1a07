import BlockFormats
import Compute
import ModelFiles

/// A tensor of a part as it lies in its files, under our name, for those who copy or convert it.
package struct PartTensor: Sendable {
  package let part: Slot
  /// What the tensor is for.
  package let match: RoleMatch
  /// Whose rules for mixes of types its network follows.
  package let convention: QuantizationConvention?
  /// Our name: the original release's, llama.cpp's or LDM's.
  package let name: String
  /// Row-major, as the network asks for it; as the file has it for what is not run.
  package let shape: [Int]
  /// Where the elements lie, in the order of our rows.
  package let pieces: [Piece]
  /// Whether rows are tokens, the last of which may be padding.
  package let isTokenTable: Bool
  /// The type of the elements; of several the one with the most bits.
  package let type: ElementType
  /// Elements of which all pieces have whole blocks.
  package let blockElements: Int
  /// What adapters add, of a vector to rows of one element.
  package let updates: [WeightUpdate]

  /// Consecutive elements, whole rows, that lie together in one file.
  package struct Piece: Sendable {
    /// The file's name for the tensor that they are of.
    package let storedName: String
    package let file: MappedFile
    package let type: ElementType
    /// Where their bytes lie.
    package let range: Range<Int>
    /// Factors on them (scaled fp8 checkpoints), one for each row or for all.
    package let scale: WeightScale

    package var elementCount: Int {
      range.count / type.bytesPerBlock * type.elementsPerBlock
    }
  }

  /// - Precondition: there is a piece at least.
  init(
    part: Slot, match: RoleMatch, convention: QuantizationConvention?, name: String, shape: [Int],
    pieces: [Piece], isTokenTable: Bool, updates: [WeightUpdate] = []
  ) {
    self.part = part
    self.match = match
    self.convention = convention
    self.name = name
    self.shape = shape
    self.pieces = pieces
    self.isTokenTable = isTokenTable
    self.updates = updates
    let types = pieces.map(\.type)
    type = types.dropFirst().reduce(types[0]) { $1.hasMoreBits(than: $0) ? $1 : $0 }
    blockElements = types.reduce(1) { max($0, $1.elementsPerBlock) }
  }

  /// The files' names for it, each once.
  package var storedNames: [String] {
    pieces.reduce(into: []) { if $0.last != $1.storedName { $0.append($1.storedName) } }
  }
  /// The file's name for it; of several the first.
  package var storedName: String { pieces[0].storedName }
  /// The file that holds it, or its first rows.
  package var path: String { pieces[0].file.path }
  /// Bytes of all elements.
  package var byteCount: Int { pieces.reduce(0) { $0 + $1.range.count } }
  /// Number of elements.
  package var elementCount: Int { pieces.reduce(0) { $0 + $1.elementCount } }
  /// Number of rows, which are the elements of a vector.
  package var rowCount: Int { shape.first ?? 1 }
  /// Elements of a row, by which scales are counted.
  package var columns: Int { shape.count > 1 ? elementCount / max(1, shape[0]) : elementCount }
  /// The type in which the bytes can be copied as they are; nil if they are not of one type, are
  /// scaled, or adapters add something.
  package var copiedType: ElementType? {
    updates.isEmpty && pieces.allSatisfy { $0.type == type && $0.scale == .one } ? type : nil
  }
  /// Factors on the elements, in the order of our rows.
  package var scale: WeightScale {
    .joined(pieces.map { ($0.scale, $0.elementCount / max(1, columns)) })
  }
}

extension ElementType {
  fileprivate func hasMoreBits(than other: ElementType) -> Bool {
    bytesPerBlock * other.elementsPerBlock > other.bytesPerBlock * elementsPerBlock
  }
}

// MARK: Pieces of pieces

extension PartTensor {
  /// Some elements of a piece.
  package struct Slice {
    /// The place of the piece in `pieces`.
    package let index: Int
    package let piece: Piece
    /// Which of the piece's elements they are.
    package let elements: Range<Int>

    /// Where they lie in the file.
    package var range: Range<Int> {
      piece.range.lowerBound + bytes(elements.lowerBound)..<piece.range.lowerBound
        + bytes(elements.upperBound)
    }

    private func bytes(_ elements: Int) -> Int {
      elements / piece.type.elementsPerBlock * piece.type.bytesPerBlock
    }
  }

  /// Where some elements lie.
  ///
  /// - Parameter range: elements in the order of our rows, whole blocks of each piece.
  /// - Returns: what each piece has of them.
  package func slices(_ range: Range<Int>) -> [Slice] {
    var slices: [Slice] = []
    var first = 0
    for (index, piece) in pieces.enumerated() {
      let end = first + piece.elementCount
      let part = range.clamped(to: first..<end)
      if !part.isEmpty {
        slices.append(
          Slice(
            index: index, piece: piece,
            elements: part.lowerBound - first..<part.upperBound - first))
      }
      first = end
    }
    return slices
  }

  /// The tensor of some of the rows: one of those of which a folder makes it, or the same in
  /// another order.
  ///
  /// - Parameter rowOrder: which rows it has.
  /// - Returns: the tensor under the same name.
  /// - Throws: `ModelFileError` if the rows, or blocks, do not divide like that.
  package func stored(
    _ rowOrder: NameRule.RowOrder
  ) throws(ModelFileError) -> PartTensor {
    guard rowOrder != .asStored else { return self }
    let rowElements = elementCount / max(1, rowCount)
    guard let rows = rowOrder.rows(of: rowCount) else { throw undividable(rowOrder) }
    var pieces: [Piece] = []
    var (updates, first): ([WeightUpdate], Int) = ([], 0)
    for range in rows {
      updates += self.updates.compactMap { $0.rows(range)?.moved(by: first) }
      first += range.count
      for slice in slices(range.lowerBound * rowElements..<range.upperBound * rowElements) {
        pieces.append(try piece(slice, rowOrder))
      }
    }
    return PartTensor(
      part: part, match: match, convention: convention, name: name,
      shape: [rows.reduce(0) { $0 + $1.count }] + shape.dropFirst(), pieces: pieces,
      isTokenTable: isTokenTable, updates: updates)
  }

  private func piece(
    _ slice: Slice, _ rowOrder: NameRule.RowOrder
  ) throws(ModelFileError) -> Piece {
    let piece = slice.piece
    let (elements, unit) = (slice.elements, piece.type.elementsPerBlock)
    // Rows of a matrix are whole blocks; a vector may be cut anywhere.
    guard elements.lowerBound % unit == 0, elements.upperBound % unit == 0 else {
      throw undividable(rowOrder)
    }
    var scale = piece.scale
    if case .rows = scale {
      scale = scale.rows(elements.lowerBound / columns..<elements.upperBound / columns)
    }
    return Piece(
      storedName: piece.storedName, file: piece.file, type: piece.type, range: slice.range,
      scale: scale)
  }

  private func undividable(_ rowOrder: NameRule.RowOrder) -> ModelFileError {
    let words = rowOrder.sharing.map { "parts of \($0) rows" } ?? "two halves"
    return ModelFileError(
      path: path, kind: .unsupported,
      fault: "tensor '\(storedName)' has shape \(shape) and type \(type.name), which cannot be "
        + "divided into \(words)")
  }
}

extension StoredWeights {
  /// Every tensor of the part, in file order; second names of the same tensor are left out. Shapes
  /// are those that the network asked for when it was opened.
  ///
  /// - Throws: `ModelFileError` for a tensor that is empty or of a type that holds no weights.
  package func tensors() throws(ModelFileError) -> [PartTensor] {
    var tensors: [PartTensor] = []
    for name in storedTensors {
      try expectOneForm(name)
      var pieces: [PartTensor.Piece] = []
      var isTokenTable = false
      for part in names.parts(of: name) {
        guard let index = part.index else {
          let shape = shape(of: name) ?? []
          let rows = part.rowOrder.rows(of: shape.first ?? 1)?.first?.count
          throw missing(
            part.name, expected: "\(rows.map { [$0] + shape.dropFirst() } ?? shape)")
        }
        pieces += try self.pieces(index, part.rowOrder, of: name)
        isTokenTable = isTokenTable || network.isTokenTable(part.name)
      }
      tensors.append(
        PartTensor(
          part: slot, match: network.roles.match(name), convention: network.convention, name: name,
          shape: requestedShape(name) ?? storedShape(name), pieces: pieces,
          isTokenTable: isTokenTable, updates: updates[name] ?? []))
    }
    return tensors
  }

  /// The shape of what nobody asked for, as the file has it.
  private func storedShape(_ name: String) -> [Int] {
    let parts = names.parts(of: name)
    if parts.count == 1, let index = parts[0].index { return record(of: index).shape }
    return shape(of: name) ?? []
  }

  /// A stored tensor in the order of our rows.
  private func pieces(
    _ index: Int, _ rowOrder: NameRule.RowOrder, of name: String
  ) throws(ModelFileError) -> [PartTensor.Piece] {
    let record = record(of: index)
    guard record.elementCount > 0 else {
      throw malformed("tensor '\(record.name)' of shape \(record.shape) is empty")
    }
    try expectWeightType(record)
    let rows = record.shape.first ?? 1
    guard let ours = rowOrder.count(ofStored: rows).flatMap(rowOrder.rows) else {
      throw uneven(record.name, rowOrder, name, requestedShape(name) ?? record.shape)
    }
    let rowElements = record.elementCount / rows
    let (scale, unit) = (try scale(of: index), record.type.elementsPerBlock)
    return try StoredPart(index: index, record: record, rows: ours).pieces.map {
      _, rows throws(ModelFileError) in
      let (start, end) = (rows.lowerBound * rowElements, rows.upperBound * rowElements)
      guard start % unit == 0, end % unit == 0 else {
        throw uneven(record.name, rowOrder, name, record.shape)
      }
      func offset(_ element: Int) -> Int {
        record.byteOffset + element / unit * record.type.bytesPerBlock
      }
      return PartTensor.Piece(
        storedName: record.name, file: archive.file(of: index), type: record.type,
        range: offset(start)..<offset(end), scale: scale.rows(rows))
    }
  }
}
