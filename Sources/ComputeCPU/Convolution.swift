import Compute
import KernelInterface
import Machine

extension CPUDevice {
  package func pack(_ convolution: Convolution) throws(ComputeError) -> PackedConvolution {
    PackedConvolution(convolution, filters: try ConvolutionFilters(convolution, on: self))
  }

  /// Filters times patches, with the kernels of matrix products: patches of a few channels and a
  /// few pixels are laid out at a time, so the patch matrix never exists; enlarging happens while
  /// patches are read.
  package func convolve(
    _ input: ImageRows, by convolution: PackedConvolution, doubled: Bool, rows: Range<Int>,
    into target: Matrix
  ) throws(ComputeError) {
    let filters = unsafeDowncast(convolution.filters, to: ConvolutionFilters.self)
    try filters.convolve(
      StoredRows(input), doubled: doubled, rows: rows, into: target, on: self)
  }
}

extension CPUCosts {
  /// Filters in float32 lie beside the packed ones while they are packed.
  package func filters(of convolution: Convolution) -> (held: Int, passing: Int) {
    let tile = kernels.rowTile
    let rows = (convolution.outputChannels + tile - 1) / tile * tile
    return (4 * rows * convolution.weight.columns, convolution.filterBytes)
  }

  package func patches(of convolution: Convolution) -> Int {
    4 * threadCount
      * ConvolutionFilters.scratchCount(
        kernel: convolution.kernel, inputChannels: convolution.inputChannels, kernels: kernels)
  }
}

/// A convolution's filters, packed for as many bands of an image as are wanted.
private final class ConvolutionFilters: Sendable {
  private let filters: PackedActivations
  private let bias: [Float]?
  /// What is packed, for its sizes.
  private let shape: Convolution
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

  private static func channelsAtOnce(kernel: Int, kernels: KernelSet) -> Int {
    max(1, patchBytes / (4 * kernels.columnTile * kernel * kernel))
  }

  /// Floats of patches for one tile of pixels.
  private static func panelFloats(kernel: Int, inputChannels: Int, kernels: KernelSet) -> Int {
    min(channelsAtOnce(kernel: kernel, kernels: kernels), inputChannels) * kernel * kernel
      * kernels.columnTile
  }

  /// Floats of scratch memory of one task.
  static func scratchCount(kernel: Int, inputChannels: Int, kernels: KernelSet) -> Int {
    tilesPerTask * panelFloats(kernel: kernel, inputChannels: inputChannels, kernels: kernels)
      + kernels.rowTile * kernels.columnTile
  }

  /// Dequantizes and packs the filters.
  ///
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  init(_ convolution: Convolution, on device: CPUDevice) throws(ComputeError) {
    let weight = convolution.weight
    shape = convolution
    kernel = convolution.kernel
    bias = convolution.bias
    inputChannels = convolution.inputChannels
    outputChannels = weight.rows
    channelsAtOnce = Self.channelsAtOnce(kernel: kernel, kernels: device.kernels)
    let decoded = try Matrix(rows: weight.rows, columns: weight.columns)
    try weight.decode(into: decoded, on: device)
    filters = try PackedActivations(
      ProductInput(decoded),
      ActivationPacking(.float, nil, partWidth: channelsAtOnce * kernel * kernel), on: device)
  }

  /// Computes some rows of the result; see `ComputeDevice.convolve`.
  func convolve(
    _ input: StoredRows, doubled: Bool, rows: Range<Int>, into output: Matrix,
    on device: CPUDevice
  ) throws(ComputeError) {
    guard !rows.isEmpty else { return }
    let kernels = device.kernels
    let factor = doubled ? 2 : 1
    precondition(factor == 1 || shape.stride == 1)
    let width = shape.outputSide(input.width * factor)
    let read = shape.inputRows(rows, height: input.height * factor)
    let needed = read.lowerBound / factor..<(read.upperBound - 1) / factor + 1
    precondition(input.channels == inputChannels && needed.clamped(to: input.rows) == needed)
    precondition(output.rows == outputChannels && output.columns == rows.count * width)
    let patches = PatchLayout(
      input: input, convolution: shape, factor: factor, firstPixel: rows.lowerBound * width)
    let panelFloats = Self.panelFloats(
      kernel: kernel, inputChannels: inputChannels, kernels: kernels)
    let pixels = rows.count * width
    let grain = kernels.columnTile * Self.tilesPerTask
    try device.run(
      (pixels + grain - 1) / grain,
      scratchCount: Self.scratchCount(
        kernel: kernel, inputChannels: inputChannels, kernels: kernels)
    ) { task, scratch in
      convolve(
        patches, pixels: task * grain..<min(pixels, (task + 1) * grain), into: output,
        panelFloats: panelFloats, scratch: scratch, kernels: kernels)
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
          rows: rows, columns: count, result: target, resultStride: output.stride)
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
