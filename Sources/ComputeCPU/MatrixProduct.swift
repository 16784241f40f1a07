import BlockFormats
import Compute
import KernelInterface
import Machine

/// Bytes of packed activations that stay in the last-level cache while panel after panel of a
/// weight meets them. Without such a bound, 4200 rows took twice as long for each as 1088.
private let packedBytes = 6 << 20

/// Rows of activations that are packed at once: whole tiles of every kernel set, and enough to
/// spread the cost of unpacking a panel.
private func rowsPerPass(_ packings: [ActivationPacking], columns: Int) -> Int {
  let bytes = (packings.map(\.kind.bytesPerElement).max() ?? 4) * max(1, columns)
  return min(mostRowsPerPass, max(288, packedBytes / bytes / 48 * 48))
}

private let mostRowsPerPass = 1152

/// Most rows that go straight through a weight's blocks, one by one. With three a panel is the
/// faster way for every type that was measured, with two for none.
private let fewRows = 2

/// The workspace of the operations of a `CPUDevice`.
struct CPUCosts: WorkspaceCosts {
  let threadCount: Int
  let kernels: KernelSet

  func product(rows: Int, columns: Int) -> Int {
    let kind = ProductKind.float
    let width = WeightPanel.width(kind: kind, columns: columns, kernels: kernels)
    let panel = WeightPanel.scratchCount(kind: kind, width: width, kernels: kernels)
    let packed = min((rows + kernels.rowTile) * columns * 4, max(packedBytes, 288 * columns * 4))
    // A thread packs a tile of rows that it makes itself, or holds a panel.
    let scratch = max(
      panel + kernels.rowTile * kernels.columnTile,
      min(rows, kernels.rowTile) * columns + kernels.rowTile * width)
    return packed + 4 * threadCount * scratch
  }

  func lowRank(rows: Int, columns: Int, rank: Int) -> Int {
    let inner = PackedActivations.floatCount(
      rows: min(rows, mostRowsPerPass), columns: rank, rowTile: kernels.rowTile)
    func panel(_ columns: Int, isWhole: Bool) -> Int {
      let part = WeightPanel.partWidth(kind: .float, columns: columns, kernels: kernels)
      let width =
        isWhole ? part : WeightPanel.width(kind: .float, columns: columns, kernels: kernels)
      let count = WeightPanel.scratchCount(kind: .float, width: width, kernels: kernels)
      return isWhole ? (columns + part - 1) / max(1, part) * count : count
    }
    return 4 * (inner + panel(columns, isWhole: true) + threadCount * panel(rank, isWhole: false))
  }
}

extension CPUDevice {
  /// Activations are packed (and quantized, see `ActivationPrecision`) once for all weights that
  /// take them alike, then each thread takes tiles of outputs: it unpacks a panel of the weight
  /// into its cache and uses it for all rows.
  package func multiply(
    _ input: ProductInput, by products: [Product]
  ) throws(ComputeError) {
    for product in products {
      precondition(input.columns == product.weight.columns && input.rows == product.result.rows)
    }
    try observer?.willMultiply(input, by: products.map(\.weight), on: self)
    try multiplyUpdated(input, by: products) { (input, products) throws(ComputeError) in
      try multiplyStored(input, by: products)
    }
  }

  /// Multiplies by weights with no updates but those that are added to outputs while they are in
  /// the cache.
  private func multiplyStored(
    _ input: ProductInput, by products: [Product]
  ) throws(ComputeError) {
    let planned = PlannedProducts(products, on: self)
    try timing(.products) { () throws(ComputeError) in
      try withBytes(of: planned.storedRows[...]) { (bytes) throws(ComputeError) in
        let resident = ResidentProducts(planned, bytes)
        guard input.rows <= fewRows else { return try multiplyTiles(input, by: resident) }
        try multiplyRows(input, by: resident)
      }
    }
  }

  /// Calls `body` with the bytes of all segments, which are resident together. So are all of a held
  /// layer anyway.
  private func withBytes(
    of rows: ArraySlice<StoredRowsOfWeight>, _ found: [ResidentRows] = [],
    _ body: ([ResidentRows]) throws(ComputeError) -> Void
  ) throws(ComputeError) {
    guard let first = rows.first else { return try body(found) }
    try first.segment.withRows(0..<first.segment.rows, columns: first.columns) {
      (bytes) throws(ComputeError) in
      let resident = ResidentRows(segment: first.segment, columns: first.columns, bytes: bytes)
      try withBytes(of: rows.dropFirst(), found + [resident], body)
    }
  }

  /// Multiplies a few rows one by one, where there is such a way for a segment.
  private func multiplyRows(
    _ input: ProductInput, by products: ResidentProducts
  ) throws(ComputeError) {
    let x = try input.stored(on: self)
    let rows = ProductInput(x)
    let inner = try products.innerRows(x.rows, on: self)
    defer { inner?.giveBack(to: self) }
    for packing in products.innerPackings {
      try multiply(rows, by: products.inner(packing), into: inner)
    }
    for segment in products.segments {
      let additions = segment.additions(inner)
      if try segment.product.runRows(segment.bytes, x, adding: additions, on: self) { continue }
      let packed = try PackedActivations(rows, segment.product.packing, on: self)
      defer { packed.giveBack(to: self) }
      try segment.product.run(
        segment.bytes, packed, rows: 0..<x.rows, adding: additions, on: self)
    }
  }

  /// Packs as many rows as stay in cache, and multiplies them by all segments.
  private func multiplyTiles(
    _ input: ProductInput, by products: ResidentProducts
  ) throws(ComputeError) {
    let packings = products.segments.map(\.product.packing)
    let step = rowsPerPass(packings, columns: input.columns)
    for start in stride(from: 0, to: input.rows, by: step) {
      let rows = start..<min(input.rows, start + step)
      let inner = try products.innerRows(rows.count, on: self)
      defer { inner?.giveBack(to: self) }
      for packing in products.earlyPackings {
        try multiply(input.rows(rows), by: products.inner(packing), into: inner)
      }
      var packed: PackedActivations?
      defer { packed?.giveBack(to: self) }
      for segment in products.segments {
        let packing = segment.product.packing
        if packed.map({ $0.packing != packing }) ?? true {
          packed?.giveBack(to: self)
          packed = nil
          let next = try PackedActivations(input.rows(rows), packing, on: self)
          packed = next
          if !products.earlyPackings.contains(packing) {
            try inner?.fill(products.inner(packing), with: next, firstTile: 0, on: self)
          }
        }
        guard let packed else { continue }
        try segment.product.run(
          segment.bytes, packed, rows: rows, adding: segment.additions(inner), on: self)
      }
    }
  }

  /// Multiplies rows by first factors of low rank that take them like no stored weight does.
  private func multiply(
    _ input: ProductInput,
    by products: [(product: InnerProduct, bytes: ResidentRows)], into inner: InnerRows?
  ) throws(ComputeError) {
    guard let inner, let packing = products.first?.product.packing else { return }
    let step = rowsPerPass([packing], columns: input.columns)
    for start in stride(from: 0, to: input.rows, by: step) {
      let packed = try PackedActivations(
        input.rows(start..<min(input.rows, start + step)), packing, on: self)
      defer { packed.giveBack(to: self) }
      try inner.fill(products, with: packed, firstTile: start / kernels.rowTile, on: self)
    }
  }
}
