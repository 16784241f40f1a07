/// Rows of an image of several channels: all of them, or those at hand.
///
/// Rows may lie in different blocks of memory.
package struct ImageRows: Sendable {
  /// Rows in order, without gaps: the first one's number and `[channels, rows · width]`.
  package let pieces: [(first: Int, planes: Matrix)]
  package let channels: Int
  /// Rows of the whole image.
  package let height: Int
  package let width: Int
  /// The rows at hand.
  package let rows: Range<Int>

  /// - Parameters:
  ///   - pieces: rows in order, without gaps: the first one's number and `[channels, rows ·
  ///     width]`.
  ///   - channels: of every piece.
  ///   - height: rows of the whole image.
  ///   - width: pixels of a row.
  package init(_ pieces: [(first: Int, planes: Matrix)], channels: Int, height: Int, width: Int) {
    let first = pieces.first?.first ?? 0
    var end = first
    for piece in pieces where width > 0 {
      precondition(piece.planes.rows == channels && piece.planes.columns % width == 0)
      precondition(piece.first == end)
      end += piece.planes.columns / width
    }
    rows = first..<end
    self.pieces = pieces
    self.channels = channels
    self.height = height
    self.width = width
  }

  /// All rows of an image.
  package init(_ image: ImagePlanes) {
    self.init(
      [(0, image.planes)], channels: image.channels, height: image.height, width: image.width)
  }
}

/// A whole image in bands of rows, each in memory of its own that can be freed before the others.
package final class BandedImage {
  package let channels: Int
  package let height: Int
  package let width: Int
  /// Rows of a band; the last one may have fewer.
  package let bandRows: Int
  private let device: any ComputeDevice
  private var bands: [Matrix?]

  /// An image of which no band exists yet.
  package init(
    channels: Int, height: Int, width: Int, bandRows: Int, on device: any ComputeDevice
  ) {
    self.device = device
    self.channels = channels
    self.height = height
    self.width = width
    self.bandRows = max(1, bandRows)
    bands = Array(repeating: nil, count: (height + max(1, bandRows) - 1) / max(1, bandRows))
  }

  package var bandCount: Int { bands.count }

  /// The image rows of a band.
  package func rows(ofBand index: Int) -> Range<Int> {
    index * bandRows..<min(height, (index + 1) * bandRows)
  }

  /// A band, `[channels, rows · width]`; allocated with undefined content if it does not exist.
  package func band(_ index: Int) throws(ComputeError) -> Matrix {
    if let band = bands[index] { return band }
    let band = try device.matrix(
      rows: channels, columns: rows(ofBand: index).count * width, isTransient: true)
    bands[index] = band
    return band
  }

  /// Frees all bands that end at or before a row.
  package func release(before row: Int) {
    for index in bands.indices where rows(ofBand: index).upperBound <= row { bands[index] = nil }
  }

  /// The bands that exist and touch some rows.
  ///
  /// - Precondition: none is missing between two others.
  package func view(_ rows: Range<Int>) -> ImageRows {
    let touched = rows.lowerBound / bandRows..<(rows.upperBound + bandRows - 1) / bandRows
    let pieces = touched.clamped(to: bands.indices).compactMap { index in
      bands[index].map { (first: index * bandRows, planes: $0) }
    }
    return ImageRows(pieces, channels: channels, height: height, width: width)
  }
}

/// Some consecutive rows of an image that is never stored as a whole, moving down over it.
package struct RowWindow {
  private let device: any ComputeDevice
  private let buffer: Matrix
  private let height: Int
  private let width: Int
  private var held = 0..<0

  /// - Parameters:
  ///   - channels: of the image.
  ///   - height: rows of the whole image.
  ///   - width: pixels of a row.
  ///   - capacity: most rows that are held at once.
  ///   - device: where they are.
  /// - Throws: `ComputeError.outOfMemory`.
  package init(
    channels: Int, height: Int, width: Int, capacity: Int, on device: any ComputeDevice
  ) throws(ComputeError) {
    self.device = device
    buffer = try device.matrix(
      rows: channels, columns: min(height, capacity) * width, isTransient: true)
    self.height = height
    self.width = width
  }

  /// Moves on: forgets rows before `start`, and makes room for new ones up to `end`.
  ///
  /// - Returns: the new rows, perhaps none, and where to write them, `[channels, rows · width]`.
  package mutating func advance(
    keeping start: Int, to end: Int
  ) throws(ComputeError) -> (rows: Range<Int>, target: Matrix) {
    let kept = min(start, held.upperBound)..<held.upperBound
    precondition(kept.lowerBound >= held.lowerBound)
    precondition((end - kept.lowerBound) * width <= buffer.columns)
    if kept.lowerBound > held.lowerBound, !kept.isEmpty {
      let (offset, count) = ((kept.lowerBound - held.lowerBound) * width, kept.count * width)
      try device.copy(buffer.columns(offset..<offset + count), to: buffer.columns(0..<count))
    }
    held = kept.lowerBound..<max(end, kept.upperBound)
    let target = buffer.columns(kept.count * width..<held.count * width)
    return (kept.upperBound..<held.upperBound, target)
  }

  /// Some rows that are held, `[channels, rows · width]`.
  package func planes(_ rows: Range<Int>) -> Matrix {
    precondition(rows.clamped(to: held) == rows)
    return buffer.columns(
      (rows.lowerBound - held.lowerBound) * width..<(rows.upperBound - held.lowerBound) * width)
  }

  /// The rows that are held.
  package var view: ImageRows {
    ImageRows(
      [(held.lowerBound, buffer.columns(0..<held.count * width))], channels: buffer.rows,
      height: height, width: width)
  }
}
