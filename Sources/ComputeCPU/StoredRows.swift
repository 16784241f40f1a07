import Compute
import Machine

/// Where rows of an image are in memory.
///
/// Rows may lie in different blocks of memory, which this keeps alive.
struct StoredRows: @unchecked Sendable {
  /// One image row: the first channel's pixels, and the floats from channel to channel.
  private struct Place {
    let pointer: UnsafeMutablePointer<Float>
    let stride: Int
  }

  let channels: Int
  /// Rows of the whole image.
  let height: Int
  let width: Int
  /// The rows at hand.
  let rows: Range<Int>
  private let places: [Place]
  private let owner: ImageRows

  init(_ image: ImageRows) {
    owner = image
    channels = image.channels
    height = image.height
    width = image.width
    rows = image.rows
    var places: [Place] = []
    for piece in image.pieces where image.width > 0 {
      for row in 0..<piece.planes.columns / image.width {
        places.append(
          Place(pointer: piece.planes.pointer + row * image.width, stride: piece.planes.stride))
      }
    }
    self.places = places
  }

  /// The first pixel of a channel's row that is at hand.
  @inline(__always)
  func pointer(_ channel: Int, _ row: Int) -> UnsafeMutablePointer<Float> {
    let place = places[row &- rows.lowerBound]
    return place.pointer + channel &* place.stride
  }
}

extension CPUDevice {
  package func copy(
    _ image: ImageRows, rows: Range<Int>, to target: Matrix
  ) throws(ComputeError) {
    precondition(target.rows == image.channels && target.columns == rows.count * image.width)
    let (source, width) = (StoredRows(image), image.width)
    try run(ranges: image.channels, grain: 8) { channels in
      for channel in channels {
        for row in rows {
          (target.row(channel) + (row - rows.lowerBound) * width).update(
            from: source.pointer(channel, row), count: width)
        }
      }
    }
  }
}
