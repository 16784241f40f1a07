/// Separable filters over rows that are read from top to bottom.
///
/// Every source row is filtered across once; the filters down see only the rows in their reach, so
/// memory stays at a few rows however large the picture is.
final class SlidingFilter {
  /// What lies beyond the edges of a picture.
  enum Border {
    /// Nothing: only places where the whole filter fits give a value.
    case none
    /// The nearest pixel of the edge.
    case clamp
    /// The picture mirrored at the centres of its edge pixels, which are not repeated.
    case mirror

    /// The row or column inside that stands for one that may lie outside.
    fileprivate func inside(_ index: Int, count: Int) -> Int {
      switch self {
      case .none: index
      case .clamp: min(max(index, 0), count - 1)
      case .mirror: index < 0 ? -index : index < count ? index : 2 * (count - 1) - index
      }
    }
  }

  /// One filter in one direction.
  struct Pass {
    /// The plane that it reads.
    let source: Int
    /// An odd number of weights, at most `2 · radius + 1`; the middle one is the pixel's own.
    let weights: [Double]
  }

  private typealias Row = UnsafeMutablePointer<Double>

  private let size: PixelSize
  private let border: Border
  private let across: [Pass]
  private let down: [Pass]
  private let radius: Int
  /// Columns or rows added on each side.
  private let padding: Int
  /// Size of what comes out.
  let outputSize: PixelSize

  /// Elements per filtered row: whole vectors.
  private let outputStride: Int
  /// Elements per source row: what the filters reach from the last vector.
  private let sourceStride: Int
  private let sourceRows: Row
  private let filteredRows: Row
  private let outputRows: Row
  private let sourceCount: Int
  /// The rows under the weights of the filter that is applied.
  private let taps: UnsafeMutablePointer<UnsafePointer<Double>>

  /// Prepares the filters.
  ///
  /// - Parameters:
  ///   - size: of the picture, at least 1x1; with `.none` no side shorter than the filters, with
  ///     `.mirror` each longer than their radius.
  ///   - border: what lies beyond the edges.
  ///   - radius: how far the widest filter reaches.
  ///   - sources: number of source planes.
  ///   - across: filters along rows, from source planes.
  ///   - down: filters along columns, from the planes that `across` makes.
  init(
    size: PixelSize, border: Border, radius: Int, sources: Int, across: [Pass], down: [Pass]
  ) {
    let length = 2 * radius + 1
    precondition(
      (across + down).allSatisfy { $0.weights.count <= length && $0.weights.count % 2 == 1 })
    self.size = size
    self.border = border
    self.radius = radius
    self.across = across
    self.down = down
    padding = border == .none ? 0 : radius
    let margin = 2 * (padding - radius)
    outputSize = PixelSize(width: size.width + margin, height: size.height + margin)
    precondition(outputSize.width > 0 && outputSize.height > 0)
    precondition(border != .mirror || size.shorterSide > radius)
    outputStride = (outputSize.width + Self.lanes - 1) / Self.lanes * Self.lanes
    sourceStride = outputStride + 2 * radius
    sourceCount = sources
    sourceRows = Self.zeros(sources * sourceStride)
    filteredRows = Self.zeros(across.count * length * outputStride)
    outputRows = Self.zeros(down.count * outputStride)
    taps = .allocate(capacity: length)
    taps.initialize(repeating: UnsafePointer(sourceRows), count: length)
  }

  deinit {
    for rows in [sourceRows, filteredRows, outputRows] { rows.deallocate() }
    taps.deallocate()
  }

  private static func zeros(_ count: Int) -> Row {
    let rows = Row.allocate(capacity: count)
    rows.initialize(repeating: 0, count: count)
    return rows
  }

  /// Filters the whole picture.
  ///
  /// - Parameters:
  ///   - read: fills row `y` of every source plane; plane `p` starts at `p · stride`.
  ///   - write: takes row `y` of what the filters down gave, laid out alike.
  func run(
    read: (_ y: Int, _ rows: UnsafeMutablePointer<Double>, _ stride: Int) -> Void,
    write: (_ y: Int, _ rows: UnsafePointer<Double>, _ stride: Int) -> Void
  ) {
    var next = 0
    for y in 0..<outputSize.height {
      while next < size.height && next <= y + 2 * radius - padding {
        read(next, sourceRows + padding, sourceStride)
        filterAcross(row: next)
        next += 1
      }
      filterDown(row: y)
      write(y, outputRows, outputStride)
    }
  }

  /// Where the filtered row of a source row lies; a row's place is used again when no filter can
  /// reach it any more.
  private func filtered(_ plane: Int, row: Int) -> Row {
    let length = 2 * radius + 1
    return filteredRows + (plane * length + row % length) * outputStride
  }

  private func filterAcross(row: Int) {
    for plane in 0..<sourceCount { pad(sourceRows + plane * sourceStride) }
    for (plane, pass) in across.enumerated() {
      let source = sourceRows + pass.source * sourceStride + radius - pass.weights.count / 2
      for tap in 0..<pass.weights.count { taps[tap] = UnsafePointer(source + tap) }
      weigh(pass.weights, into: filtered(plane, row: row))
    }
  }

  private func filterDown(row: Int) {
    for (plane, pass) in down.enumerated() {
      let first = row + radius - pass.weights.count / 2 - padding
      for tap in 0..<pass.weights.count {
        let source = border.inside(first + tap, count: size.height)
        taps[tap] = UnsafePointer(filtered(pass.source, row: source))
      }
      weigh(pass.weights, into: outputRows + plane * outputStride)
    }
  }

  /// Continues a source row beyond its ends.
  private func pad(_ row: Row) {
    for distance in 0..<padding {
      row[distance] = row[padding + border.inside(distance - padding, count: size.width)]
      let right = size.width + distance
      row[padding + right] = row[padding + border.inside(right, count: size.width)]
    }
  }

  /// Numbers that are filtered at a time.
  private static let lanes = 8

  /// Adds up the rows in `taps`, each times its weight.
  private func weigh(_ weights: [Double], into result: Row) {
    weights.withUnsafeBufferPointer { weights in
      var x = 0
      while x < outputStride {
        var sum = SIMD8<Double>.zero
        for tap in 0..<weights.count {
          let values = UnsafeRawPointer(taps[tap] + x).loadUnaligned(as: SIMD8<Double>.self)
          sum += values * weights[tap]
        }
        UnsafeMutableRawPointer(result + x).storeBytes(of: sum, as: SIMD8<Double>.self)
        x &+= Self.lanes
      }
    }
  }
}
