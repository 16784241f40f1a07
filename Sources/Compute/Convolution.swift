/// A convolution with a 1×1 or 3×3 kernel and as much padding as keeps the size, at every pixel or
/// at every second one.
package struct Convolution: Sendable {
  /// `[out, in · kernel · kernel]`.
  package let weight: WeightMatrix
  /// `[out]`, or nil.
  package let bias: [Float]?
  /// Side of the kernel.
  package let kernel: Int
  /// Input pixels from one result to the next, 1 or 2.
  package let stride: Int
  /// Row and column of the input in the middle of the first result's filter: 0 if the image is
  /// padded on all sides, 1 if only on the right and below.
  package let start: Int

  package init(
    weight: WeightMatrix, bias: [Float]?, kernel: Int, stride: Int = 1, start: Int = 0
  ) {
    precondition(kernel == 1 || kernel == 3)
    precondition(stride == 1 && start == 0 || stride == 2 && (0...1).contains(start))
    self.stride = stride
    self.start = start
    self.weight = weight
    self.bias = bias
    self.kernel = kernel
  }

  package var outputChannels: Int { weight.rows }
  package var inputChannels: Int { weight.columns / (kernel * kernel) }
  /// Rows of the result for those of the input, and so with columns.
  package func outputSide(_ side: Int) -> Int { max(0, side - start + stride - 1) / stride }
  /// The input rows that some rows of the result depend on, where nothing is enlarged.
  package func inputRows(_ rows: Range<Int>, height: Int) -> Range<Int> {
    let reach = kernel / 2
    let first = max(0, rows.lowerBound * stride + start - reach)
    let end = min(height, (rows.upperBound - 1) * stride + start + reach + 1)
    return first..<max(first, end)
  }
  /// Bytes of the filters in float32.
  package var filterBytes: Int { weight.rows * weight.columns * MemoryLayout<Float>.stride }
}

/// A convolution with its filters in the order in which a device reads them.
package struct PackedConvolution: Sendable {
  package let convolution: Convolution
  /// The filters; only the device that packed them knows what they are.
  package let filters: any AnyObject & Sendable

  /// For devices.
  package init(_ convolution: Convolution, filters: any AnyObject & Sendable) {
    self.convolution = convolution
    self.filters = filters
  }
}
