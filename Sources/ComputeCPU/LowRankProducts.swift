import BlockFormats
import Compute
import KernelInterface
import Machine

/// Rows of a weight that lie together, and where their bytes are while a product uses them.
struct ResidentRows {
  let segment: WeightMatrix.Segment
  let columns: Int
  let bytes: UnsafeRawPointer

  var rowBytes: Int { segment.type.byteCount(elements: columns) ?? 0 }
}

/// Rows of a first factor of low rank (`down`), which activations are multiplied by before the
/// second.
struct InnerProduct {
  let weight: WeightMatrix
  /// Place among the weight's segments.
  let segment: Int
  /// The weight's rows that the segment has: columns of the factor's result.
  let rows: Range<Int>
  /// Which factor of the call.
  let factor: Int
  /// How activations are taken: as the stored weight's, where the factor can be rounded as they
  /// are.
  let packing: ActivationPacking
}

/// Rows of a second factor (`up`): their product is added to the outputs of a stored weight.
struct OuterProduct {
  let product: SegmentProduct
  /// Outputs of the stored weight's segment.
  let outputs: Range<Int>
  /// Which factor of the call comes first.
  let factor: Int
}

/// What adapters of low rank add to the products of one call: `y += up · (down · x)`.
///
/// `down · x` is made of the activations that are packed for the stored weights; where those are
/// quantized to 8 bits, `down` is too, row by row in the same groups, which adds as much to the
/// term's error as the activations' own rounding. `up` is multiplied in float32 while the outputs
/// that it adds to are in the cache.
struct LowRankProducts {
  /// Ranks of the factors.
  private(set) var ranks: [Int] = []
  private(set) var inner: [InnerProduct] = []
  private var factors: [(weight: WeightMatrix, packing: ActivationPacking)] = []

  var isEmpty: Bool { ranks.isEmpty }

  /// Adds what is added to one segment of a stored weight.
  ///
  /// - Parameters:
  ///   - product: with the weight.
  ///   - segment: the part of it.
  ///   - outputs: the segment's rows of the weight.
  ///   - device: where to compute.
  /// - Returns: the second factors' products.
  mutating func add(
    _ product: Product, _ segment: SegmentProduct, outputs: Range<Int>, on device: CPUDevice
  ) -> [OuterProduct] {
    var found: [OuterProduct] = []
    for update in product.weight.updates {
      let common = update.rows.clamped(to: outputs)
      guard case .lowRank(let down, let up) = update.term, !common.isEmpty else { continue }
      let factor = place(of: down, segment.packing, on: device)
      let start = update.rows.lowerBound
      let second = Product(
        up.rows(common.lowerBound - start..<common.upperBound - start),
        addingTo: product.result.columns(common))
      var first = common.lowerBound - outputs.lowerBound
      for part in SegmentProduct.segments(of: second, on: device) {
        found.append(
          OuterProduct(product: part, outputs: first..<first + part.outputCount, factor: factor))
        first += part.outputCount
      }
    }
    return found
  }

  /// Finds a factor that other weights share, or adds it.
  private mutating func place(
    of down: WeightMatrix, _ stored: ActivationPacking, on device: CPUDevice
  ) -> Int {
    let packing = Self.packing(of: down, with: stored, on: device)
    if let place = factors.firstIndex(where: { $0.packing == packing && $0.weight.isSame(as: down) }
    ) {
      return place
    }
    var first = 0
    for (index, segment) in down.segments.enumerated() {
      inner.append(
        InnerProduct(
          weight: down, segment: index, rows: first..<first + segment.rows, factor: ranks.count,
          packing: packing))
      first += segment.rows
    }
    factors.append((down, packing))
    ranks.append(down.rows)
    return ranks.count - 1
  }

  /// How the first factor takes its activations.
  private static func packing(
    of down: WeightMatrix, with stored: ActivationPacking, on device: CPUDevice
  ) -> ActivationPacking {
    let kernels = device.kernels
    let isPlain = down.segments.allSatisfy { $0.type.codeLayout == nil }
    if isPlain, stored.kind == .int8, 127 * stored.groupWidth <= kernels.largestInt8Sum {
      return stored
    }
    return ActivationPacking(
      .float, nil,
      partWidth: WeightPanel.partWidth(kind: .float, columns: down.columns, kernels: kernels))
  }
}

/// The rows between first and second factors: `down · x` of some rows, for all factors of a call.
struct InnerRows {
  /// By factor.
  let rows: [PackedActivations]
  private let buffer: FloatBuffer

  /// - Throws: `ComputeError` if memory runs out.
  init(_ ranks: [Int], rows count: Int, on device: CPUDevice) throws(ComputeError) {
    let tile = device.kernels.rowTile
    let width = ranks.reduce(0, +)
    buffer = try device.borrow(
      count: PackedActivations.floatCount(rows: count, columns: width, rowTile: tile))
    var offset = 0
    var rows: [PackedActivations] = []
    for rank in ranks {
      let packing = ActivationPacking(
        .float, nil,
        partWidth: WeightPanel.partWidth(kind: .float, columns: rank, kernels: device.kernels))
      rows.append(
        PackedActivations(
          rows: count, columns: rank, packing, rowTile: tile, in: buffer, at: offset))
      offset += PackedActivations.floatCount(rows: count, columns: rank, rowTile: tile)
    }
    self.rows = rows
  }

  /// Gives the memory to the next product. Not to be used afterwards.
  func giveBack(to device: CPUDevice) { device.giveBack(buffer) }

  /// Some rows of first factors that fill one panel, or less.
  private struct Bin {
    /// Rows of a segment, and the place of the first in the panel.
    var parts: [(product: InnerProduct, bytes: ResidentRows, rows: Range<Int>, place: Int)] = []
    var count = 0
  }

  /// Multiplies packed activations by first factors that take them like that.
  ///
  /// - Parameters:
  ///   - products: of one packing, that of `x`.
  ///   - x: activations.
  ///   - firstTile: which tile of the rows they begin with.
  ///   - device: where to compute.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func fill(
    _ products: [(product: InnerProduct, bytes: ResidentRows)], with x: PackedActivations,
    firstTile: Int, on device: CPUDevice
  ) throws(ComputeError) {
    guard !products.isEmpty, x.rows > 0 else { return }
    // Small factors share a panel: most of its columns would be empty with one.
    var bins: [Bin] = [Bin()]
    for (product, bytes) in products {
      var first = 0
      while first < bytes.segment.rows {
        var bin = bins.removeLast()
        let count = min(bytes.segment.rows - first, device.kernels.columnTile - bin.count)
        if count > 0 {
          bin.parts.append((product, bytes, first..<first + count, bin.count))
          bin.count += count
          first += count
        }
        bins.append(bin)
        if bin.count == device.kernels.columnTile { bins.append(Bin()) }
      }
    }
    for bin in bins where bin.count > 0 { try fill(bin, with: x, firstTile: firstTile, on: device) }
  }

  /// Fills one panel, once for all threads, and multiplies all rows by it.
  private func fill(
    _ bin: Bin, with x: PackedActivations, firstTile: Int, on device: CPUDevice
  ) throws(ComputeError) {
    let (kernels, width) = (device.kernels, x.packing.partWidth)
    let starts = Array(stride(from: 0, to: x.columns, by: width))
    let panelCount = WeightPanel.scratchCount(
      kind: x.kind, width: width, isRounded: x.kind != .float, kernels: kernels)
    let memory = try device.borrow(count: panelCount * starts.count)
    defer { device.giveBack(memory) }
    func columns(_ index: Int) -> Range<Int> {
      starts[index]..<min(x.columns, starts[index] + width)
    }
    func panel(_ index: Int, _ type: ElementType) -> WeightPanel {
      WeightPanel(
        type, kind: x.kind, width: width, groupWidth: x.groupWidth,
        scratch: memory.pointer + index * panelCount, kernels: kernels)
    }
    try device.run(starts.count) { index, _ in
      for part in bin.parts {
        panel(index, part.bytes.segment.type).fill(
          part.bytes.bytes + part.rows.lowerBound * part.bytes.rowBytes,
          rowBytes: part.bytes.rowBytes, count: part.rows.count, columns: columns(index),
          scale: part.product.weight.scale,
          firstRow: part.product.rows.lowerBound + part.rows.lowerBound, at: part.place)
      }
    }
    let type = bin.parts[0].bytes.segment.type
    let panels = starts.indices.map { index in
      let panel = panel(index, type)
      return (panel, panel.arguments(x, columns: columns(index), first: starts[index]))
    }
    let tiles = (x.rows + kernels.rowTile - 1) / kernels.rowTile
    let grain = max(1, tiles / (4 * device.threadCount))
    let stride = kernels.columnTile
    try device.run((tiles + grain - 1) / grain, scratchCount: kernels.rowTile * stride) {
      index, result in
      for tile in index * grain..<min(tiles, (index + 1) * grain) {
        result.update(repeating: 0, count: kernels.rowTile * stride)
        let count = min(kernels.rowTile, x.rows - tile * kernels.rowTile)
        for (panel, arguments) in panels {
          panel.multiply(
            arguments, tile: tile, rows: count, columns: bin.count, into: result, stride: stride)
        }
        for part in bin.parts {
          let first = part.product.rows.lowerBound + part.rows.lowerBound
          rows[part.product.factor].write(
            result + part.place, stride: stride, tile: firstTile + tile,
            columns: first..<first + part.rows.count)
        }
      }
    }
  }
}
