import BlockFormats
import Compute
import KernelInterface
import Machine

/// Bytes of packed activations that stay in the last-level cache while panel after panel of a
/// weight meets them. Without such a bound, 4200 rows took twice as long for each as 1088.
private let packedBytes = 6 << 20

/// Rows of activations that are packed at once: whole tiles of every kernel set, and enough to
/// spread the cost of unpacking a panel.
private func rowsPerPass(_ products: [SegmentProduct], columns: Int) -> Int {
  let bytes = (products.map(\.packing.kind.bytesPerElement).max() ?? 4) * max(1, columns)
  return min(1152, max(288, packedBytes / bytes / 48 * 48))
}

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

  private func multiplyStored(
    _ input: ProductInput, by products: [Product]
  ) throws(ComputeError) {
    let segments = products.flatMap { SegmentProduct.segments(of: $0, on: self) }
    try timing(.products) { () throws(ComputeError) in
      try withBytes(of: segments[...]) { (bytes) throws(ComputeError) in
        try multiply(input, by: Array(zip(segments, bytes)))
      }
    }
  }

  /// Calls `body` with the bytes of all segments, which are resident together. So are all of a held
  /// layer anyway.
  private func withBytes(
    of segments: ArraySlice<SegmentProduct>, _ found: [UnsafeRawPointer] = [],
    _ body: ([UnsafeRawPointer]) throws(ComputeError) -> Void
  ) throws(ComputeError) {
    guard let first = segments.first else { return try body(found) }
    try first.withBytes { (bytes) throws(ComputeError) in
      try withBytes(of: segments.dropFirst(), found + [bytes], body)
    }
  }

  private func multiply(
    _ input: ProductInput, by segments: [(product: SegmentProduct, bytes: UnsafeRawPointer)]
  ) throws(ComputeError) {
    guard input.rows <= fewRows else { return try multiplyTiles(input, by: segments) }
    let x = try input.stored(on: self)
    for (product, bytes) in segments where try !product.runRows(bytes, x, on: self) {
      try multiplyTiles(ProductInput(x), by: [(product, bytes)])
    }
  }

  /// Packs as many rows as stay in cache, and multiplies them by all segments.
  private func multiplyTiles(
    _ input: ProductInput, by segments: [(product: SegmentProduct, bytes: UnsafeRawPointer)]
  ) throws(ComputeError) {
    let step = rowsPerPass(segments.map(\.product), columns: input.columns)
    for start in stride(from: 0, to: input.rows, by: step) {
      let rows = start..<min(input.rows, start + step)
      var packed: PackedActivations?
      defer { packed?.giveBack(to: self) }
      for (product, bytes) in segments {
        if packed.map({ $0.packing != product.packing }) ?? true {
          packed?.giveBack(to: self)
          packed = nil
          packed = try PackedActivations(input.rows(rows), product.packing, on: self)
        }
        if let packed { try product.run(bytes, packed, rows: rows, on: self) }
      }
    }
  }
}
