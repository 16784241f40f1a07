import Compute
import Machine

/// Rows of a weight that lie together and are needed by a product.
struct StoredRowsOfWeight {
  let segment: WeightMatrix.Segment
  let columns: Int
}

/// What the products of one call consist of.
struct PlannedProducts {
  /// Products with the rows of stored weights that lie together, and what is added to each.
  private(set) var segments: [(product: SegmentProduct, outer: [OuterProduct])] = []
  private(set) var lowRank = LowRankProducts()

  /// - Parameters:
  ///   - products: with weights of which adapters change nothing but by factors of low rank and
  ///     factors of rows.
  ///   - device: where to compute.
  init(_ products: [Product], on device: CPUDevice) {
    for product in products {
      var first = 0
      for segment in SegmentProduct.segments(of: product, on: device) {
        let outputs = first..<first + segment.outputCount
        first = outputs.upperBound
        let outer = lowRank.add(product, segment, outputs: outputs, on: device)
        segments.append((segment, outer))
      }
    }
  }

  /// All rows whose bytes are needed: those of stored weights, of first and of second factors.
  var storedRows: [StoredRowsOfWeight] {
    let outer = segments.flatMap(\.outer).map(\.product)
    return (segments.map(\.product) + outer).map(Self.rows)
      + lowRank.inner.map {
        StoredRowsOfWeight(segment: $0.weight.segments[$0.segment], columns: $0.weight.columns)
      }
  }

  private static func rows(_ product: SegmentProduct) -> StoredRowsOfWeight {
    StoredRowsOfWeight(segment: product.segment, columns: product.columns)
  }
}

/// The products of one call with the bytes of their weights.
struct ResidentProducts {
  struct Segment {
    let product: SegmentProduct
    let bytes: UnsafeRawPointer
    let outer: [(product: OuterProduct, bytes: UnsafeRawPointer)]

    /// What is added to the segment's outputs.
    func additions(_ inner: InnerRows?) -> [SegmentProduct.Addition] {
      guard let inner else { return [] }
      return outer.map { product, bytes in
        SegmentProduct.Addition(
          product: product, bytes: bytes, inner: inner.rows[product.factor])
      }
    }
  }

  let segments: [Segment]
  /// The ways in which first factors take activations.
  let innerPackings: [ActivationPacking]
  /// Those of them in which factors are needed by a segment that takes its own activations in
  /// another: they come before all segments.
  let earlyPackings: [ActivationPacking]
  private let ranks: [Int]
  private let inner: [(product: InnerProduct, bytes: ResidentRows)]

  /// - Parameters:
  ///   - planned: products.
  ///   - rows: as many as `storedRows` has, in the same order.
  init(_ planned: PlannedProducts, _ rows: [ResidentRows]) {
    let count = planned.segments.count
    var next = count
    var segments: [Segment] = []
    for (segment, stored) in zip(planned.segments, rows) {
      let end = next + segment.outer.count
      let outer = zip(segment.outer, rows[next..<end]).map { ($0, $1.bytes) }
      next = end
      segments.append(Segment(product: segment.product, bytes: stored.bytes, outer: outer))
    }
    self.segments = segments
    inner = Array(zip(planned.lowRank.inner, rows[next...]))
    ranks = planned.lowRank.ranks
    let innerPackings = planned.lowRank.inner.reduce(into: [ActivationPacking]()) {
      packings, product in
      if !packings.contains(product.packing) { packings.append(product.packing) }
    }
    self.innerPackings = innerPackings
    earlyPackings = innerPackings.filter { packing in
      let factors = Set(
        planned.lowRank.inner.filter { $0.packing == packing }.map(\.factor))
      return planned.segments.contains { segment in
        segment.product.packing != packing
          && segment.outer.contains { factors.contains($0.factor) }
      }
    }
  }

  /// Memory for the rows between first and second factors; nil where there are none.
  func innerRows(_ count: Int, on device: CPUDevice) throws(ComputeError) -> InnerRows? {
    ranks.isEmpty ? nil : try InnerRows(ranks, rows: count, on: device)
  }

  /// First factors that take their activations in one way.
  func inner(
    _ packing: ActivationPacking
  ) -> [(product: InnerProduct, bytes: ResidentRows)] {
    inner.filter { $0.product.packing == packing }
  }
}
