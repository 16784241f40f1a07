import Synchronization

/// A device that computes nothing and allocates nothing: it keeps account of what another one would
/// hold and do. A plan made by running the real code on it cannot drift from what the code does.
package final class RehearsalDevice: ComputeDevice {
  /// Multiplications and additions of operations.
  package struct Work: Sendable {
    /// Of products with weights.
    package var products = 0.0
    /// Of attention.
    package var attention = 0.0
  }

  private struct Account {
    /// Bytes of matrices and filters that are alive.
    var live = 0
    /// The most of each kind of workspace so far: a device keeps them for the next operations.
    var product = 0, lowRank = 0, attention = 0, patches = 0
    var peak = 0
    var work = Work()
    /// Columns of weights that products were made with, by the weights' names.
    var inputs: [String: Int] = [:]

    mutating func note(passing bytes: Int = 0) {
      peak = max(peak, live + product + lowRank + attention + patches + bytes)
    }
  }

  /// Stands for memory that would be allocated.
  private final class Allocation: Sendable {
    private let device: RehearsalDevice
    private let bytes: Int

    init(_ bytes: Int, on device: RehearsalDevice) {
      self.bytes = bytes
      self.device = device
      device.account.withLock {
        $0.live += bytes
        $0.note()
      }
    }

    deinit { device.account.withLock { [bytes] in $0.live -= bytes } }
  }

  package let costs: any WorkspaceCosts
  private let account = Mutex(Account())

  /// - Parameter device: whose work is rehearsed.
  package init(of device: any ComputeDevice) { costs = device.costs }

  /// The most bytes that would be held at once during some work, what is held before among them.
  package func peakBytes(
    of body: () throws(ComputeError) -> Void
  ) throws(ComputeError) -> Int {
    account.withLock {
      $0.peak = 0
      $0.note()
    }
    try body()
    return account.withLock { $0.peak }
  }

  /// What was done so far.
  package var work: Work { account.withLock { $0.work } }
  /// Columns of the named weights that products were made with.
  package var inputs: [String: Int] { account.withLock { $0.inputs } }

  // MARK: Memory

  package func matrix(
    rows: Int, columns: Int, isTransient: Bool
  ) throws(ComputeError) -> Matrix {
    let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
    guard !overflow, count <= Int.max >> 8 else { throw .outOfMemory(byteCount: .max) }
    return Matrix(
      storage: Allocation(count * MemoryLayout<Float>.stride, on: self), rows: rows,
      columns: columns)
  }

  package func read(_ source: Matrix) throws(ComputeError) -> [Float] {
    [Float](repeating: 0, count: source.rows * source.columns)
  }

  package func holding(
    _ stream: WeightStream, layer: Int, _ body: () throws(ComputeError) -> Void
  ) throws(ComputeError) {
    try body()
  }

  package func releaseMemory() {
    account.withLock { ($0.product, $0.lowRank, $0.attention, $0.patches) = (0, 0, 0, 0) }
  }

  // MARK: Operations that take memory

  package func multiply(_ input: ProductInput, by products: [Product]) throws(ComputeError) {
    try multiplyUpdated(input, by: products) { account(for: $0, $1) }
  }

  private func account(for input: ProductInput, _ products: [Product]) {
    let bytes = costs.product(rows: input.rows, columns: input.columns)
    let rank = products.flatMap(\.weight.ranks).reduce(0, +)
    let lowRank =
      rank == 0 ? 0 : costs.lowRank(rows: input.rows, columns: input.columns, rank: rank)
    account.withLock { account in
      account.product = max(account.product, bytes)
      account.lowRank = max(account.lowRank, lowRank)
      account.note()
      for product in products {
        account.work.products +=
          2 * Double(input.rows) * Double(input.columns)
          * Double(product.weight.rows)
        if !product.weight.name.isEmpty { account.inputs[product.weight.name] = input.columns }
      }
    }
  }

  package func attend(_ attention: Attention, into target: Matrix) throws(ComputeError) {
    for sequence in attention.sequences {
      let bytes = costs.attention(
        keys: sequence.count, heads: attention.heads, headDimension: attention.headDimension)
      account.withLock { account in
        account.attention = max(account.attention, bytes)
        account.note()
        account.work.attention +=
          4 * Double(attention.q.columns) * Double(sequence.count)
          * Double(sequence.count)
      }
    }
  }

  package func pack(_ convolution: Convolution) throws(ComputeError) -> PackedConvolution {
    let (held, passing) = costs.filters(of: convolution)
    let filters = Allocation(held, on: self)
    account.withLock { $0.note(passing: passing) }
    return PackedConvolution(convolution, filters: filters)
  }

  package func convolve(
    _ input: ImageRows, by convolution: PackedConvolution, doubled: Bool, rows: Range<Int>,
    into target: Matrix
  ) throws(ComputeError) {
    let bytes = costs.patches(of: convolution.convolution)
    account.withLock { account in
      account.patches = max(account.patches, bytes)
      account.note()
    }
  }

  package func moments(
    of statistics: GroupStatistics
  ) throws(ComputeError) -> [(mean: Double, variance: Double)] {
    Array(repeating: (0, 1), count: statistics.groups)
  }

  // MARK: Operations that take none

  package func write(_ values: [Float], to target: Matrix) throws(ComputeError) {}
  package func copy(_ source: Matrix, to target: Matrix) throws(ComputeError) {}
  package func copy(
    _ image: ImageRows, rows: Range<Int>, to target: Matrix
  ) throws(ComputeError) {}
  package func gather(
    _ rows: [Range<Int>], of table: WeightMatrix, into target: Matrix
  ) throws(ComputeError) {}
  package func add(_ mixture: BlockMixture, to target: Matrix) throws(ComputeError) {}
  package func store(_ input: ProductInput, into target: Matrix) throws(ComputeError) {}
  package func add(_ update: GatedUpdate, to target: Matrix) throws(ComputeError) {}
  package func apply(_ function: Activation, to target: Matrix) throws(ComputeError) {}
  package func transpose(_ source: Matrix, into target: Matrix) throws(ComputeError) {}
  package func gather(
    _ image: ImageRows, rows: Range<Int>, into statistics: GroupStatistics
  ) throws(ComputeError) {}
  package func scale(
    _ image: ImageRows, rows: Range<Int>, by scaling: ChannelScaling, into target: Matrix
  ) throws(ComputeError) {}
}
