/// Side lengths of latents.
package struct LatentSize: Sendable, Hashable {
  package let height: Int
  package let width: Int

  package init(height: Int, width: Int) {
    self.height = height
    self.width = width
  }
}

/// What is denoised: a picture in an autoencoder's space, or a velocity there.
package struct Latents: Sendable, Equatable {
  package let channels: Int
  package let size: LatentSize
  /// `[channels, height, width]`, row-major.
  package var values: [Float]

  /// - Precondition: there are as many values as the shape has.
  package init(_ values: [Float], channels: Int, size: LatentSize) {
    precondition(values.count == channels * size.height * size.width)
    self.values = values
    self.channels = channels
    self.size = size
  }

  /// Zeros.
  package init(channels: Int, size: LatentSize) {
    self.init(
      [Float](repeating: 0, count: channels * size.height * size.width), channels: channels,
      size: size)
  }

  /// The same shape with other values.
  package func with(_ values: [Float]) -> Latents {
    Latents(values, channels: channels, size: size)
  }

  /// Whether no value is NaN or infinite.
  package var isFinite: Bool { values.allSatisfy(\.isFinite) }
}

/// Which latents a denoiser takes.
package struct LatentGeometry: Sendable, Equatable {
  package let channels: Int
  /// What height and width must be multiples of.
  package let sideMultiple: Int
  /// The largest height and width.
  package let largestSide: Int

  package init(channels: Int, sideMultiple: Int, largestSide: Int) {
    self.channels = channels
    self.sideMultiple = sideMultiple
    self.largestSide = largestSide
  }
}
