/// Where arithmetic runs: a CPU, a GPU, or nowhere (`RehearsalDevice`).
///
/// Operations are as large as their fusion allows, so that one dynamic call costs nothing beside
/// the work. Networks know nothing of memory: the elements of a `Matrix` are reached only through
/// these operations. All of them throw `ComputeError` if memory runs out, a weight cannot be read
/// or the work is cancelled.
package protocol ComputeDevice: AnyObject, Sendable {
  // MARK: Memory

  /// Allocates a matrix with undefined content.
  ///
  /// - Parameters:
  ///   - rows: number of rows.
  ///   - columns: elements of a row.
  ///   - isTransient: whether its memory should go back to the system as soon as it is freed, since
  ///     something of another size comes next.
  /// - Returns: a handle of the memory, which lives as long as one of its copies.
  /// - Throws: `ComputeError.outOfMemory`.
  func matrix(rows: Int, columns: Int, isTransient: Bool) throws(ComputeError) -> Matrix
  /// Writes values row by row; as many as the matrix has elements.
  func write(_ values: [Float], to target: Matrix) throws(ComputeError)
  /// All elements, row by row.
  func read(_ source: Matrix) throws(ComputeError) -> [Float]
  /// Copies a matrix into another of the same shape. Rows of both may overlap.
  func copy(_ source: Matrix, to target: Matrix) throws(ComputeError)
  /// Copies rows of an image into `[channels, rows · width]`.
  func copy(_ image: ImageRows, rows: Range<Int>, to target: Matrix) throws(ComputeError)
  /// Dequantizes rows of a stored table one after the other into a matrix of as many rows.
  func gather(
    _ rows: [Range<Int>], of table: WeightMatrix, into target: Matrix
  ) throws(ComputeError)
  /// Runs `body`, which uses the weights of one layer of a stream, and keeps them resident until it
  /// returns.
  func holding(
    _ stream: WeightStream, layer: Int, _ body: () throws(ComputeError) -> Void
  ) throws(ComputeError)
  /// Releases the workspace that operations keep for the next ones.
  func releaseMemory()
  /// The workspace of operations.
  var costs: any WorkspaceCosts { get }

  // MARK: Rows

  /// Multiplies activations by stored weights of equal width: `result = input · weightᵀ + bias` for
  /// each.
  ///
  /// What the input is made from (norm, modulation, gate) is made while it is read. The result
  /// depends neither on the number of threads, nor a row on the rows beside it, nor a product on
  /// the others. What adapters add to a weight is added to the product (`multiplyUpdated`).
  func multiply(_ input: ProductInput, by products: [Product]) throws(ComputeError)
  /// `target += (left ⊗ I) source`, the second half of a product with a Kronecker product.
  func add(_ mixture: BlockMixture, to target: Matrix) throws(ComputeError)
  /// Writes the rows of an input; the target may be what they are made from.
  func store(_ input: ProductInput, into target: Matrix) throws(ComputeError)
  /// Multi-head softmax attention, `softmax(scale · q kᵀ + bias) v`; the target is none of the
  /// inputs.
  func attend(_ attention: Attention, into target: Matrix) throws(ComputeError)
  /// `target += gate · values`.
  func add(_ update: GatedUpdate, to target: Matrix) throws(ComputeError)
  /// `target = function(target)`, element by element.
  func apply(_ function: Activation, to target: Matrix) throws(ComputeError)
  /// Writes the transpose of `[rows, columns]` into `[columns, rows]`.
  func transpose(_ source: Matrix, into target: Matrix) throws(ComputeError)

  // MARK: Images

  /// Dequantizes a convolution's filters into the order in which they are read.
  func pack(_ convolution: Convolution) throws(ComputeError) -> PackedConvolution
  /// Computes some rows of a convolution's result; a pixel is the same bits whatever rows come with
  /// it.
  ///
  /// - Parameters:
  ///   - input: the rows that the result depends on; beyond the image they count as zero.
  ///   - convolution: its filters.
  ///   - doubled: whether rows and columns are repeated twice first (nearest neighbour); only for
  ///     convolutions at every pixel.
  ///   - rows: rows of the result.
  ///   - target: `[out, rows · width]`; must not overlap the input.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func convolve(
    _ input: ImageRows, by convolution: PackedConvolution, doubled: Bool, rows: Range<Int>,
    into target: Matrix
  ) throws(ComputeError)
  /// Adds what group normalization needs of some rows; each row has to be gathered once.
  func gather(
    _ image: ImageRows, rows: Range<Int>, into statistics: GroupStatistics
  ) throws(ComputeError)
  /// Mean and variance of each group, once all rows are gathered.
  func moments(
    of statistics: GroupStatistics
  ) throws(ComputeError) -> [(mean: Double, variance: Double)]
  /// Scales and shifts the channels of some rows; the target may be where the image has them.
  func scale(
    _ image: ImageRows, rows: Range<Int>, by scaling: ChannelScaling, into target: Matrix
  ) throws(ComputeError)
}

extension ComputeDevice {
  /// Allocates a matrix with undefined content.
  package func matrix(rows: Int, columns: Int) throws(ComputeError) -> Matrix {
    try matrix(rows: rows, columns: columns, isTransient: false)
  }

  /// Allocates a matrix of given values, row by row.
  package func matrix(_ values: [Float], rows: Int, columns: Int) throws(ComputeError) -> Matrix {
    let matrix = try matrix(rows: rows, columns: columns)
    try write(values, to: matrix)
    return matrix
  }

  /// `y = x · weightᵀ + bias`; `y` must not overlap `x`.
  package func multiply(
    _ x: Matrix, by weight: WeightMatrix, bias: [Float]? = nil, into y: Matrix
  ) throws(ComputeError) {
    try multiply(ProductInput(x), by: [Product(weight, bias: bias, into: y)])
  }

  /// `target += values`, element by element.
  package func add(_ values: Matrix, to target: Matrix) throws(ComputeError) {
    try add(GatedUpdate(values), to: target)
  }

  /// Convolves a whole image, enlarged twofold first (nearest neighbour) if asked to.
  ///
  /// - Returns: `[out, height, width]`, or twice or half the side lengths.
  package func convolve(
    _ input: ImagePlanes, by convolution: Convolution, doubled: Bool = false
  ) throws(ComputeError) -> ImagePlanes {
    let factor = doubled ? 2 : 1
    let height = convolution.outputSide(input.height * factor)
    let width = convolution.outputSide(input.width * factor)
    let output = ImagePlanes(
      planes: try matrix(rows: convolution.outputChannels, columns: height * width),
      height: height, width: width)
    try convolve(
      ImageRows(input), by: try pack(convolution), doubled: doubled, rows: 0..<height,
      into: output.planes)
    return output
  }
}

/// Bytes that a device's operations allocate beside their arguments.
///
/// A device may keep such memory from one operation to the next: plans count the largest of each
/// kind.
package protocol WorkspaceCosts: Sendable {
  /// A product's packed activations and panels, at most.
  func product(rows: Int, columns: Int) -> Int
  /// What products beside those take whose weights adapters of low rank add to: `rank` is that of
  /// all factors together.
  func lowRank(rows: Int, columns: Int, rank: Int) -> Int
  /// Packed keys and values of a sequence, and scores.
  func attention(keys: Int, heads: Int, headDimension: Int) -> Int
  /// Packed filters, which stay as long as they are held, and what packing takes beside them.
  func filters(of convolution: Convolution) -> (held: Int, passing: Int)
  /// Patches of a convolution.
  func patches(of convolution: Convolution) -> Int
}
