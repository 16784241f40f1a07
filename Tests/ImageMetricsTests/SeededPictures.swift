import Images
import TestSupport

/// Pairs of pictures that `tools/reference/make_image_metrics.py` makes with the same operations.
struct PicturePair {
  let reference: RGBImage
  let picture: RGBImage

  struct UnknownKind: Error {
    let kind: String
  }

  init(kind: String, width: Int, height: Int) throws {
    let name = "\(kind)/\(width)x\(height)"
    let reference = Samples(texture: name, width: width, height: height)
    let change = Samples.values("\(name)/change", count: 3 * width * height)
    switch kind {
    case "black-white":
      self.reference = reference.mapped { _, _ in 0 }.image
      picture = reference.mapped { _, _ in 255 }.image
      return
    case "identical": picture = reference.image
    case "noise": picture = reference.mapped { $1 + change[$0] / 16 - 8 }.image
    case "strong-noise": picture = reference.mapped { $1 + change[$0] - 128 }.image
    case "unrelated": picture = reference.mapped { index, _ in change[index] }.image
    case "shift":
      picture = reference.made { x, y, channel in reference[x - 3, y + 2, channel] }.image
    case "blur":
      picture =
        reference.made { x, y, channel in
          var sum = 0
          for down in -1...1 {
            for right in -1...1 { sum += reference[x + right, y + down, channel] }
          }
          return sum / 9
        }.image
    case "brighter": picture = reference.mapped { $1 + 10 }.image
    case "colors":
      picture = reference.made { x, y, channel in reference[x, y, (channel + 1) % 3] }.image
    case "one-pixel":
      picture =
        reference.made { x, y, channel in
          let value = reference[x, y, channel]
          return x == width / 2 && y == height / 2 ? 255 - value : value
        }.image
    default: throw UnknownKind(kind: kind)
    }
    self.reference = reference.image
  }
}

/// Samples of a picture as integers.
struct Samples {
  let width: Int
  let height: Int
  private var values: [Int]

  /// Integers of 0...255 for a name.
  static func values(_ name: String, count: Int) -> [Int] {
    SeededWeights.values("image-metrics/\(name)", count: count).map {
      Int((($0 + 1) * 128).rounded(.down))
    }
  }

  /// Soft patches, 16 pixels wide, with some grain.
  init(texture name: String, width: Int, height: Int) {
    let (columns, rows) = (width / 16 + 2, height / 16 + 2)
    let patches = Self.values("\(name)/patches", count: rows * columns * 3)
    let grain = Self.values("\(name)/grain", count: height * width * 3)
    self.width = width
    self.height = height
    values = []
    for y in 0..<height {
      for x in 0..<width {
        for channel in 0..<3 {
          let (top, left, down, right) = (y / 16, x / 16, y % 16, x % 16)
          func patch(_ below: Int, _ beside: Int) -> Int {
            patches[((top + below) * columns + left + beside) * 3 + channel]
          }
          let upper = (patch(0, 0) * (16 - right) + patch(0, 1) * right) * (16 - down)
          let lower = (patch(1, 0) * (16 - right) + patch(1, 1) * right) * down
          let soft = (upper + lower + 128) / 256
          values.append(min(max(soft + grain[values.count] / 16 - 8, 0), 255))
        }
      }
    }
  }

  /// A sample; beyond the edges the edge's.
  subscript(x: Int, y: Int, channel: Int) -> Int {
    let (column, row) = (min(max(x, 0), width - 1), min(max(y, 0), height - 1))
    return values[(row * width + column) * 3 + channel]
  }

  /// The picture with every sample replaced, by its index and value.
  func mapped(_ change: (Int, Int) -> Int) -> Samples {
    var result = self
    result.values = values.enumerated().map { change($0.offset, $0.element) }
    return result
  }

  /// A picture of the same size, from column, row and channel.
  func made(_ value: (Int, Int, Int) -> Int) -> Samples {
    mapped { index, _ in value(index / 3 % width, index / 3 / width, index % 3) }
  }

  /// The picture, with samples clamped to 0...255.
  var image: RGBImage {
    RGBImage(width: width, height: height, pixels: values.map { UInt8(clamping: $0) })
  }
}
