/// A device that runs nothing: it hands over what enters products with weights.
///
/// Memory is that of another device, with whatever was there before.
package final class ProductTap: ComputeDevice {
  /// Told of what enters products.
  package typealias Listener = (
    _ input: ProductInput, _ products: [Product]
  ) throws(ComputeError) -> Void

  private let base: any ComputeDevice
  // Called by whoever runs something on this device, one call at a time.
  private nonisolated(unsafe) let listener: Listener

  /// - Parameters:
  ///   - base: whose memory is used.
  ///   - listener: told of each product.
  package init(of base: any ComputeDevice, _ listener: @escaping Listener) {
    self.base = base
    self.listener = listener
  }

  package var costs: any WorkspaceCosts { base.costs }

  package func multiply(_ input: ProductInput, by products: [Product]) throws(ComputeError) {
    try listener(input, products)
  }

  // MARK: Memory

  package func matrix(
    rows: Int, columns: Int, isTransient: Bool
  ) throws(ComputeError) -> Matrix {
    try base.matrix(rows: rows, columns: columns, isTransient: isTransient)
  }

  package func write(_ values: [Float], to target: Matrix) throws(ComputeError) {
    try base.write(values, to: target)
  }

  package func read(_ source: Matrix) throws(ComputeError) -> [Float] { try base.read(source) }

  package func holding(
    _ stream: WeightStream, layer: Int, _ body: () throws(ComputeError) -> Void
  ) throws(ComputeError) {
    try body()
  }

  package func releaseMemory() { base.releaseMemory() }

  package func pack(_ convolution: Convolution) throws(ComputeError) -> PackedConvolution {
    try base.pack(convolution)
  }

  // MARK: Nothing

  package func copy(_ source: Matrix, to target: Matrix) {}
  package func copy(_ image: ImageRows, rows: Range<Int>, to target: Matrix) {}
  package func gather(_ rows: [Range<Int>], of table: WeightMatrix, into target: Matrix) {}
  package func add(_ mixture: BlockMixture, to target: Matrix) {}
  package func store(_ input: ProductInput, into target: Matrix) {}
  package func attend(_ attention: Attention, into target: Matrix) {}
  package func add(_ update: GatedUpdate, to target: Matrix) {}
  package func apply(_ function: Activation, to target: Matrix) {}
  package func transpose(_ source: Matrix, into target: Matrix) {}
  package func convolve(
    _ input: ImageRows, by convolution: PackedConvolution, doubled: Bool, rows: Range<Int>,
    into target: Matrix
  ) {}
  package func gather(_ image: ImageRows, rows: Range<Int>, into statistics: GroupStatistics) {}
  package func moments(of statistics: GroupStatistics) -> [(mean: Double, variance: Double)] {
    Array(repeating: (0, 1), count: statistics.groups)
  }
  package func scale(
    _ image: ImageRows, rows: Range<Int>, by scaling: ChannelScaling, into target: Matrix
  ) {}
}
