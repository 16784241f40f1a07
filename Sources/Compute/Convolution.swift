/// A convolution with a 1×1 or 3×3 kernel, stride 1 and as much padding as keeps the size.
package struct Convolution: Sendable {
  /// `[out, in · kernel · kernel]`.
  package let weight: WeightMatrix
  /// `[out]`, or nil.
  package let bias: [Float]?
  /// Side of the kernel.
  package let kernel: Int

  package init(weight: WeightMatrix, bias: [Float]?, kernel: Int) {
    precondition(kernel == 1 || kernel == 3)
    self.weight = weight
    self.bias = bias
    self.kernel = kernel
  }

  package var outputChannels: Int { weight.rows }
  package var inputChannels: Int { weight.columns / (kernel * kernel) }
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
