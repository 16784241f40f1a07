import Compute

/// Where a residual block's result goes, band by band, and how x gets to it.
///
/// If x is stored and keeps its channels, the result takes its place. Otherwise it has memory of
/// its own, and what x was made from is freed on the way.
struct ResidualResult {
  let image: BandedImage
  private let run: ResidualBlockRun
  private let shortcut: PackedConvolution?
  private let isSeparate: Bool
  /// Rows of the second convolution, or of x', before they are added to the other.
  private var addend: RowWindow
  /// Rows of x where it is not stored, if they are made for this alone.
  private var rowsOfX: RowWindow?

  /// - Parameters:
  ///   - run: the block's.
  ///   - storesHidden: whether `write` has to make rows of x that is not stored; otherwise `keep`
  ///     is called with them.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  init(_ run: ResidualBlockRun, storesHidden: Bool) throws(ComputeError) {
    self.run = run
    isSeparate = run.upsample != nil || run.block.shortcut != nil
    if let convolution = run.block.shortcut {
      shortcut = try run.device.pack(convolution)
    } else {
      shortcut = nil
    }
    image =
      isSeparate
      ? BandedImage(
        channels: run.outputChannels, height: run.height, width: run.width,
        bandRows: run.bandRows, on: run.device)
      : run.source
    let isAhead = run.upsample != nil && !storesHidden
    addend = try RowWindow(
      channels: run.outputChannels, height: run.height, width: run.width,
      capacity: run.bandRows + (isAhead ? 2 : 0), on: run.device)
    if run.upsample != nil, storesHidden {
      rowsOfX = try RowWindow(
        channels: run.inputChannels, height: run.height, width: run.width,
        capacity: run.bandRows, on: run.device)
    }
  }

  /// Notes rows of x that exist for a moment.
  ///
  /// - Parameters:
  ///   - x: the rows.
  ///   - rows: which of them are new; they follow those noted before.
  ///   - first: the first row that has not been written yet.
  /// - Throws: `ComputeError.cancelled` if the work is cancelled.
  mutating func keep(
    _ x: ImageRows, _ rows: Range<Int>, from first: Int
  ) throws(ComputeError) {
    let new = try addend.advance(keeping: first, to: rows.upperBound)
    try transform(x, rows, into: new.target)
  }

  /// x' of some rows.
  private func transform(
    _ x: ImageRows, _ rows: Range<Int>, into target: Matrix
  ) throws(ComputeError) {
    if let shortcut {
      try run.device.convolve(x, by: shortcut, doubled: false, rows: rows, into: target)
    } else {
      try run.device.copy(x, rows: rows, to: target)
    }
  }

  /// Writes one band of the result.
  ///
  /// - Parameters:
  ///   - rows: the band's.
  ///   - convolve: writes those rows of the second convolution.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  mutating func write(
    _ rows: Range<Int>, _ convolve: (_ target: Matrix) throws(ComputeError) -> Void
  ) throws(ComputeError) {
    let band = try image.band(rows.lowerBound / image.bandRows)
    guard isSeparate else {
      let new = try addend.advance(keeping: rows.lowerBound, to: rows.upperBound)
      try convolve(new.target)
      return try run.device.add(new.target, to: band)
    }
    try convolve(band)
    if run.upsample == nil {
      let new = try addend.advance(keeping: rows.lowerBound, to: rows.upperBound)
      try transform(run.source.view(rows), rows, into: new.target)
      run.source.release(before: rows.upperBound)
    } else if let new = try rowsOfX?.advance(keeping: rows.lowerBound, to: rows.upperBound),
      let view = rowsOfX?.view
    {
      try run.enlarge(rows, into: new.target)
      run.source.release(before: (rows.upperBound - 1) / 2)
      let addend = try addend.advance(keeping: rows.lowerBound, to: rows.upperBound)
      try transform(view, rows, into: addend.target)
    } else {
      // Rows have been read up to two below the band.
      run.source.release(before: (rows.upperBound + 1) / 2)
    }
    try run.device.add(addend.planes(rows), to: band)
  }
}
