import Compute

/// Reads the surroundings of pixels, of an image that may be enlarged twofold on the way, or read
/// at every second pixel.
struct PatchLayout {
  private let input: StoredRows
  /// Side of the filters.
  private let kernel: Int
  /// 2 if rows and columns count twice.
  private let factor: Int
  /// Pixels of the image from one result to the next, and the first one's.
  private let (stride, start): (Int, Int)
  /// Pixels in a row of the result.
  private let width: Int
  /// The result's pixel that counts as the first one.
  private let firstPixel: Int

  init(input: StoredRows, convolution: Convolution, factor: Int, firstPixel: Int) {
    self.input = input
    self.factor = factor
    self.firstPixel = firstPixel
    kernel = convolution.kernel
    (stride, start) = (convolution.stride, convolution.start)
    width = convolution.outputSide(input.width * factor)
  }

  /// Writes `[channels · kernel · kernel, pitch]`: for each channel and place in the filter, the
  /// values that some output pixels see there, zero outside of the image.
  func layOut(
    _ channels: Range<Int>, pixels: Range<Int>, into patches: UnsafeMutablePointer<Float>,
    pitch: Int
  ) {
    var pixel = pixels.lowerBound
    while pixel < pixels.upperBound {
      let (y, x) = (firstPixel &+ pixel).quotientAndRemainder(dividingBy: width)
      let count = min(width &- x, pixels.upperBound &- pixel)
      layOutRun(
        channels, y: y &* stride &+ start, x: x &* stride &+ start, count: count,
        into: patches + (pixel &- pixels.lowerBound), pitch: pitch)
      pixel &+= count
    }
    guard pixels.count < pitch else { return }
    for row in 0..<channels.count * kernel * kernel {
      (patches + (row &* pitch &+ pixels.count)).update(
        repeating: 0, count: pitch &- pixels.count)
    }
  }

  /// The part for neighbouring results of one row, the first one's middle being at a pixel.
  private func layOutRun(
    _ channels: Range<Int>, y: Int, x: Int, count: Int, into patches: UnsafeMutablePointer<Float>,
    pitch: Int
  ) {
    let width = input.width * factor
    let height = input.height * factor
    let reach = kernel / 2
    // Most runs lie inside of the image and fill a tile.
    let isPlain =
      factor == 1 && stride == 1 && count % 16 == 0 && x >= reach
      && x &+ count &+ reach <= width
    var target = patches
    for channel in channels {
      for sourceY in y &- reach...y &+ reach {
        guard sourceY >= 0, sourceY < height else {
          for _ in 0..<kernel {
            target.update(repeating: 0, count: count)
            target += pitch
          }
          continue
        }
        let row = UnsafePointer(input.pointer(channel, sourceY / factor))
        for start in x &- reach...x &+ reach {
          if isPlain {
            copySixteens(row + start, count: count, into: target)
          } else if stride > 1 {
            copyStrided(row, from: start, count: count, width: width, into: target)
          } else {
            copyRow(row, from: start, count: count, width: width, into: target)
          }
          target += pitch
        }
      }
    }
  }

  /// Copies so few floats that a call would take longer.
  @inline(__always)
  private func copySixteens(
    _ source: UnsafePointer<Float>, count: Int, into target: UnsafeMutablePointer<Float>
  ) {
    let (source, target) = (UnsafeRawPointer(source), UnsafeMutableRawPointer(target))
    var offset = 0
    while offset < 4 &* count {
      target.storeBytes(
        of: source.loadUnaligned(fromByteOffset: offset, as: SIMD16<Float>.self),
        toByteOffset: offset, as: SIMD16<Float>.self)
      offset &+= 64
    }
  }

  /// Copies pixels of one image row that lie apart, with zeros outside of it.
  @inline(__always)
  private func copyStrided(
    _ row: UnsafePointer<Float>, from start: Int, count: Int, width: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    var x = start
    for index in 0..<count {
      target[index] = x >= 0 && x < width ? row[x] : 0
      x &+= stride
    }
  }

  /// Copies part of one image row, with zeros outside of it.
  @inline(__always)
  private func copyRow(
    _ row: UnsafePointer<Float>, from start: Int, count: Int, width: Int,
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
