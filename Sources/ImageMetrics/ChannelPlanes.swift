import Images

/// Red, green and blue of a picture one by one, as numbers of 0...255.
struct ChannelPlanes {
  let size: PixelSize
  /// Three planes of `size.count` values.
  private let values: [Float]

  init(_ image: RGBImage) {
    size = image.size
    let count = image.size.count
    values = [Float](unsafeUninitializedCapacity: 3 * count) { values, initialized in
      image.pixels.withUnsafeBufferPointer { pixels in
        for channel in 0..<3 {
          for index in 0..<count {
            values.initializeElement(
              at: channel &* count &+ index, to: Float(pixels[3 &* index &+ channel]))
          }
        }
      }
      initialized = 3 * count
    }
  }

  private init(size: PixelSize, values: [Float]) {
    self.size = size
    self.values = values
  }

  /// Gives access to the rows of one channel.
  func withRows(of channel: Int, _ body: ((Int) -> UnsafeBufferPointer<Float>) -> Void) {
    values.withUnsafeBufferPointer { values in
      body { y in
        let start = channel * size.count + y * size.width
        return UnsafeBufferPointer(rebasing: values[start..<start + size.width])
      }
    }
  }

  /// Half the size: means of 2x2 pixels. A last odd row or column is left out.
  ///
  /// Exact at least eight times in a row: each adds two bits to the eight of a sample.
  func halved() -> ChannelPlanes {
    let half = PixelSize(width: size.width / 2, height: size.height / 2)
    var means = [Float](repeating: 0, count: 3 * half.count)
    means.withUnsafeMutableBufferPointer { means in
      for channel in 0..<3 {
        withRows(of: channel) { row in
          for y in 0..<half.height {
            let (upper, lower) = (row(2 * y), row(2 * y + 1))
            let start = channel * half.count + y * half.width
            for x in 0..<half.width {
              means[start &+ x] =
                0.25
                * (upper[2 &* x] + upper[2 &* x &+ 1] + lower[2 &* x] + lower[2 &* x &+ 1])
            }
          }
        }
      }
    }
    return ChannelPlanes(size: half, values: means)
  }
}
