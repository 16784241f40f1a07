import BlockFormats
import Compute
import Machine
import ModelFiles

/// What one module of an adapter does to one weight of a model.
package struct AdapterTerm: Sendable {
  let file: AdapterFile
  let module: AdapterModule
  let target: AdapterNames.Target
  /// What the weight is of, for messages.
  let part: String

  /// What the parameters mean is said at the properties.
  package init(
    file: AdapterFile, module: AdapterModule, target: AdapterNames.Target, part: String
  ) {
    self.file = file
    self.module = module
    self.target = target
    self.part = part
  }

  /// What is added to the weight.
  ///
  /// - Parameter base: the weight as it is stored, `[rows, columns]`; a convolution's filters are
  ///   rows.
  /// - Returns: updates of its rows; none at a strength of 0.
  /// - Throws: `ModelFileError` for a tensor that is missing, of another shape or type, or not
  ///   finite.
  package func updates(of base: WeightMatrix) throws(ModelFileError) -> [WeightUpdate] {
    guard let ranges = target.rowOrder.rows(of: base.rows) else {
      throw file.malformed(
        "module '\(module.name)' is for a part of the rows of '\(target.name)' (\(part)), whose "
          + "\(base.rows) rows do not divide like that: the adapter was made for another model")
    }
    let shape = (rows: ranges.reduce(0) { $0 + $1.count }, columns: base.columns)
    var own = try additions(shape)
    if module.entries[.magnitude] != nil {
      own = try decomposed(own, rows(ranges, of: base))
    } else {
      own = own.compactMap { $0.scaled(by: file.strength) }
    }
    if let factors = try factors(shape) { own.append(factors) }
    if file.strength == 0 { return [] }
    var first = 0
    return ranges.flatMap { range in
      let stored = first..<first + range.count
      first = stored.upperBound
      return own.compactMap { $0.rows(stored)?.moved(by: range.lowerBound) }
    }
  }

  /// Rows of a weight in the order of the module.
  private func rows(_ ranges: [Range<Int>], of base: WeightMatrix) -> WeightMatrix {
    let parts = ranges.map { base.stored.rows($0) }
    return WeightMatrix(
      segments: parts.flatMap(\.segments), columns: base.columns,
      scale: .joined(parts.map { ($0.scale, $0.rows) }))
  }

  /// What is added at a strength of 1, whatever the stored weight is.
  private func additions(
    _ shape: (rows: Int, columns: Int)
  ) throws(ModelFileError) -> [WeightUpdate] {
    var terms: [WeightUpdate.Term] = []
    let has = { (roles: [AdapterRole]) in roles.contains { module.entries[$0] != nil } }
    if has([.down, .up, .mid]) { terms.append(try lowRank(shape)) }
    if has([.hadaW1A, .hadaW1B, .hadaW2A, .hadaW2B, .hadaT1, .hadaT2]) {
      terms.append(try hadamard(shape))
    }
    if has([.lokrW1, .lokrW1A, .lokrW1B, .lokrW2, .lokrW2A, .lokrW2B, .lokrT2]) {
      terms.append(try kronecker(shape))
    }
    if has([.difference]) {
      terms.append(
        .dense(try matrix(.difference, rows: shape.rows, columns: shape.columns)))
    }
    return terms.map { WeightUpdate(rows: 0..<shape.rows, $0) }
  }

  /// IA3: factors of rows or columns, at the user's strength.
  private func factors(
    _ shape: (rows: Int, columns: Int)
  ) throws(ModelFileError) -> WeightUpdate? {
    if module.entries[.factors] != nil {
      let onInput = try file.use(.onInput, of: module).map { index throws(ModelFileError) in
        try file.archive.scalar(of: index) != 0
      }
      let count = onInput == true ? shape.columns : shape.rows
      let values = try values(.factors, count: count).map { file.strength * $0 }
      return WeightUpdate(
        rows: 0..<shape.rows, onInput == true ? .columnFactors(values) : .rowFactors(values))
    }
    guard let place = module.entries[.peftFactors] else { return nil }
    let onInput = file.archive.tensors.records[place].shape.first == 1 && shape.rows != 1
    let values = try values(.peftFactors, count: onInput ? shape.columns : shape.rows)
      .map { file.strength * ($0 - 1) }
    return WeightUpdate(
      rows: 0..<shape.rows, onInput ? .columnFactors(values) : .rowFactors(values))
  }

  // MARK: Biases and vectors

  /// Changes a bias.
  ///
  /// - Parameter bias: the whole vector, in our order.
  /// - Throws: `ModelFileError` as `updates` does.
  package func apply(toBias bias: inout [Float]) throws(ModelFileError) {
    let strength = file.strength
    if module.entries[.biasDifference] != nil {
      try apply(.biasDifference, to: &bias) { $0 + strength * $1 }
    }
    if module.entries[.upBias] != nil, let down = module.entries[.down] {
      let rank = file.archive.tensors.records[down].shape.first
      let factor = strength * (try file.factor(of: module, rank: rank))
      try apply(.upBias, to: &bias) { $0 + factor * $1 }
    }
    // Unlike LyCORIS, PEFT scales a layer's whole output.
    if let place = module.entries[.peftFactors],
      file.archive.tensors.records[place].shape.first != 1 || bias.count == 1
    {
      try apply(.peftFactors, to: &bias) { $0 * (1 + strength * ($1 - 1)) }
    }
  }

  /// Changes a vector that is a weight by itself, such as a norm's.
  func apply(toVector vector: inout [Float]) throws(ModelFileError) {
    guard module.entries[.difference] != nil else {
      throw file.malformed(
        "module '\(module.name)' is for the vector '\(target.name)' (\(part)), of which only "
          + "differences can be taken: the adapter was made for another model")
    }
    let strength = file.strength
    try apply(.difference, to: &vector) { $0 + strength * $1 }
  }

  private func apply(
    _ role: AdapterRole, to vector: inout [Float], _ function: (Float, Float) -> Float
  ) throws(ModelFileError) {
    guard let ranges = target.rowOrder.rows(of: vector.count) else { return }
    let values = try values(role, count: ranges.reduce(0) { $0 + $1.count })
    for (index, value) in zip(ranges.flatMap { Array($0) }, values) {
      vector[index] = function(vector[index], value)
    }
  }

  // MARK: Tensors

  /// A tensor of the module.
  ///
  /// - Throws: `ModelFileError` if there is none.
  func record(_ role: AdapterRole) throws(ModelFileError) -> TensorRecord {
    if let index = file.use(role, of: module) { return file.archive.tensors.records[index] }
    let others = module.entries.values.sorted().prefix(2)
      .map { "'\(file.archive.tensors.records[$0].name)'" }.joined(separator: " and ")
    throw file.malformed(
      "module '\(module.name)' has no \(role.word) beside \(others): the file is incomplete, "
        + "download it again")
  }

  /// A tensor as a matrix where it lies, checked for numbers that are not finite.
  ///
  /// - Parameters:
  ///   - role: which of the module's.
  ///   - rows: what its first dimension must be.
  ///   - columns: the product of the others.
  /// - Returns: the matrix, whose bytes stay in the file.
  /// - Throws: `ModelFileError` if it is missing, of another shape or type, or not finite.
  func matrix(
    _ role: AdapterRole, rows: Int, columns: Int
  ) throws(ModelFileError) -> WeightMatrix {
    let record = try record(role)
    let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
    guard !overflow, record.elementCount == count, record.shape.first ?? 1 == rows || rows == 1
    else { throw misfit(record, expected: "[\(rows), \(columns)]") }
    guard record.type.isWeightType, record.type.elementsPerBlock == 1 else {
      throw file.malformed(
        "tensor '\(record.name)' has type \(record.type.name), expected F32, F16 or BF16")
    }
    guard let index = module.entries[role] else { throw misfit(record, expected: "") }
    let storage = file.archive.storage(of: index)
    var isFinite = true
    do throws(ComputeError) {
      try storage.withBytes(0..<record.byteCount) { bytes in
        isFinite = !record.type.hasNonFinite(bytes, blocks: count)
      }
    } catch {
      throw ModelFileError(path: file.path, kind: .unreadable, fault: error.description)
    }
    guard isFinite else {
      throw file.malformed(
        "tensor '\(record.name)' holds a number that is NaN or infinite: the file is damaged, "
          + "download it again")
    }
    return WeightMatrix(
      segments: [WeightMatrix.Segment(storage: storage, type: record.type, rows: rows)],
      columns: columns)
  }

  /// The values of a vector of the module, whatever its shape.
  func values(_ role: AdapterRole, count: Int) throws(ModelFileError) -> [Float] {
    let record = try record(role)
    guard record.elementCount == count else { throw misfit(record, expected: "\(count) numbers") }
    let rows = max(1, record.shape.first ?? 1)
    return try values(matrix(role, rows: rows, columns: count / rows))
  }

  func values(_ matrix: WeightMatrix) throws(ModelFileError) -> [Float] {
    do throws(ComputeError) {
      return try matrix.decoded()
    } catch {
      throw ModelFileError(path: file.path, kind: .unreadable, fault: error.description)
    }
  }

  func misfit(_ record: TensorRecord, expected: String) -> ModelFileError {
    file.malformed(
      "tensor '\(record.name)' has shape \(record.shape), expected \(expected) for "
        + "'\(target.name)' of the \(part): the adapter was made for another model")
  }
}

extension AdapterRole {
  /// What a tensor is called that is missing.
  fileprivate var word: String {
    switch self {
    case .down: "lora_down (lora_A)"
    case .up: "lora_up (lora_B)"
    case .hadaW1A: "hada_w1_a"
    case .hadaW1B: "hada_w1_b"
    case .hadaW2A: "hada_w2_a"
    case .hadaW2B: "hada_w2_b"
    case .hadaT1: "hada_t1"
    case .hadaT2: "hada_t2"
    case .lokrW1: "lokr_w1"
    case .lokrW1A: "lokr_w1_a"
    case .lokrW1B: "lokr_w1_b"
    case .lokrW2: "lokr_w2"
    case .lokrW2A: "lokr_w2_a"
    case .lokrW2B: "lokr_w2_b"
    case .lokrT2: "lokr_t2"
    default: rawValue
    }
  }
}

extension WeightUpdate {
  /// The same term times a factor; nil for nothing.
  func scaled(by factor: Float) -> WeightUpdate? {
    guard factor != 0 else { return nil }
    switch term {
    case .lowRank(let down, let up):
      return WeightUpdate(rows: rows, .lowRank(down: down, up: up.scaled(by: factor)))
    case .dense(let matrix): return WeightUpdate(rows: rows, .dense(matrix.scaled(by: factor)))
    case .kronecker(let product):
      return WeightUpdate(
        rows: rows,
        .kronecker(
          KroneckerProduct(
            left: product.left.map { factor * $0 }, rows: product.leftRows,
            columns: product.leftColumns, right: product.right)))
    case .rowFactors(let factors):
      return WeightUpdate(rows: rows, .rowFactors(factors.map { factor * $0 }))
    case .columnFactors(let factors):
      return WeightUpdate(rows: rows, .columnFactors(factors.map { factor * $0 }))
    }
  }
}

extension WeightMatrix {
  /// The same elements times a factor.
  func scaled(by factor: Float) -> WeightMatrix {
    switch scale {
    case .one: return scaled(.all(factor))
    case .all(let other): return scaled(.all(other * factor))
    case .rows(let others): return scaled(.rows(others.map { $0 * factor }))
    }
  }

  /// The same rows, each times a factor.
  func scaled(byRows factors: [Float]) -> WeightMatrix {
    scaled(.rows(factors.enumerated().map { $1 * scale.factor(of: $0) }))
  }

  private func scaled(_ scale: WeightScale) -> WeightMatrix {
    WeightMatrix(
      segments: segments, columns: columns, scale: scale, name: name, firstRow: firstRow,
      updates: updates)
  }
}
