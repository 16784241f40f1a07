import KernelInterface

/// An image of several channels: a matrix `[channels, height · width]` with its side lengths.
package struct ImagePlanes: Sendable {
  package let height: Int
  package let width: Int
  /// `[channels, height · width]`.
  package let planes: Matrix

  package init(channels: Int, height: Int, width: Int) throws(ComputeError) {
    self.init(
      planes: try Matrix(rows: channels, columns: height * width), height: height, width: width)
  }

  package init(planes: Matrix, height: Int, width: Int) {
    precondition(planes.columns == height * width && planes.stride == planes.columns)
    self.planes = planes
    self.height = height
    self.width = width
  }

  package var channels: Int { planes.rows }
}

/// A convolution with a 1×1 or 3×3 kernel, stride 1 and as much padding as keeps the size.
package struct Convolution: Sendable {
  /// `[out, in · kernel · kernel]`.
  package let weight: WeightMatrix
  /// `[out]`, or nil.
  let bias: [Float]?
  let kernel: Int

  package init(weight: WeightMatrix, bias: [Float]?, kernel: Int) {
    precondition(kernel == 1 || kernel == 3)
    self.weight = weight
    self.bias = bias
    self.kernel = kernel
  }

  package var outputChannels: Int { weight.rows }
  package var inputChannels: Int { weight.columns / (kernel * kernel) }
  /// Rows above and below a pixel that it depends on.
  package var reach: Int { kernel / 2 }
  /// Bytes of the filters in float32.
  package var filterBytes: Int { weight.rows * weight.columns * MemoryLayout<Float>.stride }

  /// Convolves a whole image, enlarged twofold first (nearest neighbour) if asked to.
  ///
  /// - Parameters:
  ///   - input: `[in, height, width]`.
  ///   - doubled: whether rows and columns are repeated twice before the convolution.
  ///   - pool: threads to compute on.
  /// - Returns: `[out, height, width]`, or twice the side lengths.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func callAsFunction(
    _ input: ImagePlanes, doubled: Bool = false, on pool: ThreadPool
  ) throws(ComputeError) -> ImagePlanes {
    let factor = doubled ? 2 : 1
    let output = try ImagePlanes(
      channels: weight.rows, height: input.height * factor, width: input.width * factor)
    let packed = try PackedConvolution(self, on: pool)
    try packed(
      ImageRows(input), doubled: doubled, rows: 0..<output.height, into: output.planes, on: pool)
    return output
  }
}

/// A convolution with its filters in the order in which kernels read them, for as many bands of an
/// image as are wanted.
package struct PackedConvolution: Sendable {
  private let filters: PackedActivations
  private let bias: [Float]?
  private let kernel: Int
  private let inputChannels: Int
  private let outputChannels: Int
  /// Channels whose patches are laid out at once. It depends on the kernels alone, like all that
  /// decides about the order of sums.
  private let channelsAtOnce: Int

  /// Bytes of patches that lie ready for one tile of pixels: half of a first-level cache.
  private static let patchBytes = 24 << 10
  /// Tiles of pixels that are worked on together, so that filters are read less often.
  private static let tilesPerTask = 6

  /// Decodes and packs the filters.
  ///
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package init(_ convolution: Convolution, on pool: ThreadPool) throws(ComputeError) {
    let weight = convolution.weight
    kernel = convolution.kernel
    bias = convolution.bias
    inputChannels = convolution.inputChannels
    outputChannels = weight.rows
    let area = kernel * kernel
    channelsAtOnce = max(1, Self.patchBytes / (4 * pool.kernels.columnTile * area))
    let decoded = try Matrix(rows: weight.rows, columns: weight.columns)
    try weight.decode(into: decoded, on: pool)
    filters = try PackedActivations(
      ProductInput(decoded),
      ActivationPacking(.float, nil, partWidth: channelsAtOnce * area), on: pool)
  }

  /// Computes some rows of the result.
  ///
  /// Filters times patches, with the kernels of matrix products: patches of a few channels and a
  /// few pixels are laid out at a time, so the patch matrix never exists; enlarging happens while
  /// patches are read. A pixel is the same bits whatever rows are computed with it.
  ///
  /// - Parameters:
  ///   - input: the rows that the result depends on; beyond the image they count as zero.
  ///   - doubled: whether rows and columns are repeated twice before the convolution.
  ///   - rows: rows of the result.
  ///   - output: `[out, rows · width]`, overwritten; must not overlap the input.
  ///   - pool: threads to compute on.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func callAsFunction(
    _ input: ImageRows, doubled: Bool = false, rows: Range<Int>, into output: Matrix,
    on pool: ThreadPool
  ) throws(ComputeError) {
    guard !rows.isEmpty else { return }
    let factor = doubled ? 2 : 1
    let width = input.width * factor
    let needed =
      max(0, rows.lowerBound - kernel / 2)
      / factor..<(min(input.height * factor, rows.upperBound + kernel / 2) - 1) / factor + 1
    precondition(input.channels == inputChannels && needed.clamped(to: input.rows) == needed)
    precondition(output.rows == outputChannels && output.columns == rows.count * width)
    let patches = PatchLayout(
      input: input, kernel: kernel, factor: factor, firstPixel: rows.lowerBound * width)
    let tile = pool.kernels.columnTile
    let panelFloats = min(channelsAtOnce, inputChannels) * kernel * kernel * tile
    let pixels = rows.count * width
    let grain = tile * Self.tilesPerTask
    try pool.run(
      (pixels + grain - 1) / grain,
      scratchCount: Self.tilesPerTask * panelFloats + pool.kernels.rowTile * tile
    ) { task, scratch in
      convolve(
        patches, pixels: task * grain..<min(pixels, (task + 1) * grain), into: output,
        panelFloats: panelFloats, scratch: scratch, kernels: pool.kernels)
    }
  }

  /// Computes a few tiles of pixels, counted from the first one of the output.
  private func convolve(
    _ patches: PatchLayout, pixels: Range<Int>, into output: Matrix, panelFloats: Int,
    scratch: UnsafeMutablePointer<Float>, kernels: KernelSet
  ) {
    let tile = kernels.columnTile
    let area = kernel * kernel
    let ragged = scratch + Self.tilesPerTask * panelFloats
    for channel in 0..<output.rows {
      (output.row(channel) + pixels.lowerBound).update(
        repeating: bias?[channel] ?? 0, count: pixels.count)
    }
    for first in stride(from: 0, to: inputChannels, by: channelsAtOnce) {
      let channels = first..<min(inputChannels, first + channelsAtOnce)
      for (index, start) in stride(from: pixels.lowerBound, to: pixels.upperBound, by: tile)
        .enumerated()
      {
        patches.layOut(
          channels, pixels: start..<min(pixels.upperBound, start + tile),
          into: scratch + index * panelFloats, pitch: tile)
      }
      let product = FilterProduct(
        filters: filters, columns: channels.lowerBound * area..<channels.upperBound * area,
        output: output, kernels: kernels)
      product.add(panels: scratch, panelFloats: panelFloats, pixels: pixels, ragged: ragged)
    }
  }
}

/// Adds filters times laid-out patches to some pixels of an image.
private struct FilterProduct {
  let filters: PackedActivations
  /// The part of the filters that the patches are for.
  let columns: Range<Int>
  let output: Matrix
  let kernels: KernelSet

  /// - Parameters:
  ///   - panels: patches of `columnTile` pixels each, `[columns, columnTile]`.
  ///   - panelFloats: floats from panel to panel.
  ///   - pixels: the pixels, a tile for each panel; the last may be short.
  ///   - ragged: room for a tile.
  func add(
    panels: UnsafeMutablePointer<Float>, panelFloats: Int, pixels: Range<Int>,
    ragged: UnsafeMutablePointer<Float>
  ) {
    let (rowTile, width) = (kernels.rowTile, kernels.columnTile)
    for first in stride(from: 0, to: output.rows, by: rowTile) {
      let rows = min(rowTile, output.rows - first)
      let elements = filters.elements(tile: first / rowTile, column: columns.lowerBound)
        .assumingMemoryBound(to: Float.self)
      for (index, start) in stride(from: pixels.lowerBound, to: pixels.upperBound, by: width)
        .enumerated()
      {
        let count = min(width, pixels.upperBound - start)
        let target = output.row(first) + start
        var tile = FloatTile(
          activations: elements, weights: panels + index * panelFloats, width: columns.count,
          rows: rows, result: target, resultStride: output.stride)
        if rows == rowTile, count == width {
          kernels.multiplyFloats(&tile)
          continue
        }
        // Kernels write whole tiles: a ragged one goes through scratch memory.
        for row in 0..<rows {
          (ragged + row * width).update(from: target + row * output.stride, count: count)
        }
        (tile.result, tile.resultStride) = (ragged, width)
        kernels.multiplyFloats(&tile)
        for row in 0..<rows {
          (target + row * output.stride).update(from: ragged + row * width, count: count)
        }
      }
    }
  }
}
