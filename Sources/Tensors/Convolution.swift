import COpenBLAS

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
  let weight: WeightMatrix
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

  /// Most floats of one task's patches.
  private static let patchFloats = 1 << 20

  /// Convolves an image, enlarged twofold first (nearest neighbour) if asked to.
  ///
  /// Patches are laid out for a few hundred pixels at a time and multiplied by the weight, so the
  /// patch matrix of the whole image never exists; enlarging happens while patches are read.
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
    precondition(input.channels * kernel * kernel == weight.columns)
    let factor = doubled ? 2 : 1
    let output = try ImagePlanes(
      channels: weight.rows, height: input.height * factor, width: input.width * factor)
    let pixels = output.height * output.width
    let patchSize = weight.columns
    let weights = try Matrix(rows: weight.rows, columns: patchSize)
    try pool.run(ranges: weight.rows, grain: 16) { rows in
      weight.decode(rows: rows, into: weights.row(rows.lowerBound))
    }
    let grain = max(16, min(4096, Self.patchFloats / patchSize))
    let inPlace = kernel == 1 && !doubled
    try pool.run(
      (pixels + grain - 1) / grain, scratchCount: inPlace ? 0 : patchSize * grain
    ) { task, scratch in
      let range = task * grain..<min(pixels, (task + 1) * grain)
      if !inPlace {
        layOutPatches(of: input, pixels: range, factor: factor, into: scratch)
      }
      let patches = inPlace ? input.planes.pointer + range.lowerBound : scratch
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(weight.rows), Int32(range.count),
        Int32(patchSize), 1, weights.pointer, Int32(patchSize), patches,
        Int32(inPlace ? input.planes.stride : range.count),
        0, output.planes.pointer + range.lowerBound, Int32(pixels))
      addBias(to: output.planes, pixels: range)
    }
    return output
  }

  private func addBias(to planes: Matrix, pixels: Range<Int>) {
    guard let bias else { return }
    for channel in 0..<planes.rows {
      let values = planes.row(channel)
      let bias = bias[channel]
      for pixel in pixels { values[pixel] += bias }
    }
  }

  /// Writes the patch matrix `[in · kernel · kernel, pixels]` of some output pixels.
  private func layOutPatches(
    of input: ImagePlanes, pixels: Range<Int>, factor: Int,
    into patches: UnsafeMutablePointer<Float>
  ) {
    let width = input.width * factor
    let height = input.height * factor
    let reach = kernel / 2
    var target = patches
    for channel in 0..<input.channels {
      let plane = input.planes.row(channel)
      for dy in -reach...reach {
        for dx in -reach...reach {
          var pixel = pixels.lowerBound
          while pixel < pixels.upperBound {
            let (y, x) = pixel.quotientAndRemainder(dividingBy: width)
            let count = min(width &- x, pixels.upperBound &- pixel)
            let sourceY = y &+ dy
            if sourceY < 0 || sourceY >= height {
              target.update(repeating: 0, count: count)
            } else {
              let row = UnsafePointer(plane + sourceY / factor * input.width)
              copyRow(
                row, from: x &+ dx, count: count, width: width, factor: factor, into: target)
            }
            target += count
            pixel &+= count
          }
        }
      }
    }
  }

  /// Copies part of one (perhaps enlarged) image row, with zeros outside of it.
  @inline(__always)
  private func copyRow(
    _ row: UnsafePointer<Float>, from start: Int, count: Int, width: Int, factor: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    let first = max(0, -start)
    let end = min(count, width &- start)
    for index in 0..<first { target[index] = 0 }
    if factor == 1 {
      if end > first { (target + first).update(from: row + (start &+ first), count: end &- first) }
    } else {
      for index in first..<max(first, end) { target[index] = row[(start &+ index) >> 1] }
    }
    for index in max(first, end)..<max(count, end) { target[index] = 0 }
  }
}
