import BlockFormats
import Conversion
import LinearAlgebra
import Machine
import Quantization
import TextToImage

/// What a calibration will cost, told before it begins: its work is counted, and a little of each
/// kind of it is timed.
package struct CalibrationEstimate: Sendable {
  /// What an earlier run has done.
  package struct Done: Sendable {
    package let texts: Bool
    /// Layers; nil if not even the points are known.
    package let layers: Int?
  }

  /// Seconds of text encoders.
  package private(set) var textSeconds = 0.0
  /// Seconds until the points are found.
  package private(set) var pointSeconds = 0.0
  /// Seconds of all layers: adding up what enters matrices, rounding them, taking the points on.
  package private(set) var parts = (adding: 0.0, rounding: 0.0, passing: 0.0)
  /// Seconds of each layer.
  package private(set) var layerSeconds: [Double] = []
  /// Bytes on the disk beside the new file.
  package private(set) var diskBytes = 0
  /// Most bytes of memory, the program among them.
  package private(set) var memoryBytes = 0

  /// Places times layers that are passed on the way to the points.
  let pathWork: Int

  /// Seconds of all that is left.
  package func seconds(after done: Done) -> Double {
    let before = (done.texts ? 0 : textSeconds) + (done.layers == nil ? pointSeconds : 0)
    return layerSeconds.dropFirst(done.layers ?? 0).reduce(before, +)
  }

  /// Counts and times.
  ///
  /// - Parameters:
  ///   - pass: the places and layers.
  ///   - rounding: what is rounded, and how.
  ///   - secondsOfTexts: how long the points' prompts take to encode.
  ///   - secondsPerPlace: how long one place takes through all layers.
  ///   - library: what sums are computed with.
  ///   - pool: threads to work on.
  /// - Throws: `GenerationError`, `ComputeError`.
  init(
    _ pass: any LayerPassing, _ rounding: MatrixRounding, secondsOfTexts: Double,
    secondsPerPlace: Double, _ library: OpenBLAS, on pool: ThreadPool
  ) throws {
    let rates = try WorkRates(rounding.options.quality, library, on: pool)
    pointSeconds = secondsOfTexts + secondsPerPlace * Double(pass.pathPassCount)
    pathWork = pass.pathPassCount * pass.layerCount
    diskBytes = rounding.tensors.values.reduce(pass.scratchBytes) { $0 + $1.byteCount }
    let textMoments = try addTexts(rounding, rates)
    let (grouped, groupBytes) = try addGroups(pass, rounding, rates)
    try addModulation(rounding, rates, apart: grouped)
    let hasTargets = rounding.options.hasTargets
    let streams = hasTargets ? 2.0 : 1
    parts.passing = secondsPerPlace * Double(pass.placeCount) * streams
    let passing = parts.passing / Double(max(1, pass.layerCount))
    layerSeconds = layerSeconds.map { $0 + passing }
    // Vectors of all places, of each stream, and new ones beside the old.
    let vectors = (hasTargets ? 3 : 2) * pass.placeCount * pass.modulationRowBytes
    memoryBytes =
      ProcessStatus.residentBytes + Self.slackBytes
      + max(vectors + groupBytes, vectors + pass.pathBytes, textMoments + pass.textBytes)
  }

  /// Counts text encoders.
  ///
  /// - Returns: bytes of the sums of a layer.
  private mutating func addTexts(
    _ rounding: MatrixRounding, _ rates: WorkRates
  ) throws -> Int {
    var columns: Set<Int> = []
    for tensor in rounding.tensors.values where tensor.source.part != rounding.denoiser {
      textSeconds += try rates.seconds(rounding: tensor, hasTargets: false)
      columns.insert(tensor.shape.last ?? 0)
    }
    // A layer has one group of its widest inputs, and three of others.
    let widths = columns.sorted(by: >).map { UpperPanels.byteCount(columns: $0) }
    return (widths.first ?? 0) + 3 * (widths.dropFirst().first ?? 0)
  }

  /// Counts what the denoiser's layers multiply tokens by.
  ///
  /// - Returns: the matrices, and most bytes while one group is worked on or a stage is run.
  private mutating func addGroups(
    _ pass: any LayerPassing, _ rounding: MatrixRounding, _ rates: WorkRates
  ) throws -> (names: Set<String>, bytes: Int) {
    let (hasTargets, runBytes) = (rounding.options.hasTargets, pass.runBytes)
    var (names, bytes): (Set<String>, Int) = ([], 0)
    for layer in 0..<pass.layerCount {
      let before = parts.adding + parts.rounding
      for stage in 0..<pass.stageCount(of: layer) {
        let groups = try pass.groups(of: layer, stage: stage)
        for group in groups {
          let chosen = group.weights.compactMap { rounding.tensors[$0.name] }
          guard !chosen.isEmpty else { continue }
          parts.adding += rates.seconds(adding: group, hasTargets: hasTargets)
          for tensor in chosen {
            parts.rounding += try rates.seconds(rounding: tensor, hasTargets: hasTargets)
            names.insert(tensor.source.name)
          }
          bytes = max(
            bytes,
            Self.bytes(group, hasTargets: hasTargets, threads: rounding.pool.threadCount))
        }
        bytes = max(bytes, groups.reduce(runBytes) { $0 + $1.weightBytes })
      }
      layerSeconds.append(parts.adding + parts.rounding - before)
    }
    return (names, bytes)
  }

  /// Counts the denoiser's other matrices: modulation, alike in all layers.
  private mutating func addModulation(
    _ rounding: MatrixRounding, _ rates: WorkRates, apart grouped: Set<String>
  ) throws {
    var seconds = 0.0
    for tensor in rounding.tensors.values
    where tensor.source.part == rounding.denoiser && !grouped.contains(tensor.source.name) {
      seconds += try rates.seconds(rounding: tensor, hasTargets: false)
    }
    parts.rounding += seconds
    let share = seconds / Double(max(1, layerSeconds.count))
    layerSeconds = layerSeconds.map { $0 + share }
  }

  /// What no part of the work accounts for.
  private static let slackBytes = 40 << 20
  /// Copies of a place's rows that are there at once: of both streams, their difference, one on the
  /// way, and what they are made from.
  private static let copiesOfRows = 5
  /// What waits to be written while blocks are made.
  private static let outputBytes = 32 << 20

  /// Bytes while a group is added up or rounded.
  private static func bytes(_ group: ProductGroup, hasTargets: Bool, threads: Int) -> Int {
    let (n, float) = (group.columns, MemoryLayout<Float>.stride)
    let targets =
      hasTargets ? (group.takesProducts ? group.outputs : n) * n * float : 0
    let rows = copiesOfRows * group.largestPlace * n * float
    let tiles = threads * FeedbackQuantizer.tileRows * 6 * n * float + outputBytes
    // Products with it need the weight itself.
    let weights = hasTargets && group.takesProducts ? group.weightBytes : 0
    return UpperPanels.byteCount(columns: n) + targets + weights + UpperPanels.width * n * float
      + max(rows, tiles)
  }
}

/// How fast this machine does what a calibration consists of.
private final class WorkRates {
  /// Seconds of a multiplication and addition of sums.
  private let addition: Double
  private let quality: QuantizationQuality
  private let library: OpenBLAS
  private let pool: ThreadPool
  /// Seconds of rounding a row on one thread: what grows with the square of its columns, and with
  /// their number.
  private var trials: [ElementType: (square: Double, single: Double)] = [:]

  private static let columns = (small: 512, large: 2048)
  private static let rows = 256

  init(
    _ quality: QuantizationQuality, _ library: OpenBLAS, on pool: ThreadPool
  ) throws(ComputeError) {
    self.quality = quality
    self.library = library
    self.pool = pool
    let (n, rows) = (Self.columns.large, Self.noise(Self.rows * Self.columns.large))
    let moments = try InputMoments(columns: n, like: rows, library, on: pool)
    var best = Double.infinity
    for _ in 0..<4 {
      let start = ContinuousClock.now
      try moments.add(rows)
      best = min(best, (ContinuousClock.now - start) / .seconds(1))
    }
    // Half of a square, and the blocks on its diagonal.
    let count = Double(Self.rows) * Double(n) * Double(n + UpperPanels.width) / 2
    addition = best / count
  }

  /// Numbers without order.
  private static func noise(_ count: Int) -> [Float] {
    var state: UInt32 = 1
    return (0..<count).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return Float(state >> 8) / Float(1 << 23) - 1
    }
  }

  /// Adding up what enters a group.
  func seconds(adding group: ProductGroup, hasTargets: Bool) -> Double {
    let (n, rows) = (Double(group.columns), Double(group.rows))
    var count = rows * n * (n + Double(UpperPanels.width)) / 2
    if hasTargets {
      // Products of the differences with the weights, which are as much again.
      count += group.takesProducts ? 2 * rows * n * Double(group.outputs) : rows * n * n
    }
    // The factor of the sums.
    return addition * (count + n * n * n / 6)
  }

  /// Rounding a matrix.
  func seconds(
    rounding tensor: ConversionPlan.Tensor, hasTargets: Bool
  ) throws(ComputeError) -> Double {
    guard tensor.shape.count == 2 else { return 0 }
    let (rows, n) = (Double(tensor.shape[0]), Double(tensor.shape[1]))
    let trial = try trial(of: tensor.type)
    // Moving a row to its target takes as much as four products with half of the square.
    let moving = hasTargets ? 4 * n * n * addition * Double(pool.threadCount) : 0
    return rows * (trial.square * n * n + trial.single * n + moving) / Double(pool.threadCount)
  }

  private func trial(
    of type: ElementType
  ) throws(ComputeError) -> (square: Double, single: Double) {
    if let known = trials[type] { return known }
    let small = try secondsPerRow(type, columns: Self.columns.small)
    let large = try secondsPerRow(type, columns: Self.columns.large)
    let (a, b) = (Double(Self.columns.small), Double(Self.columns.large))
    let square = max(0, (large / b - small / a) / (b - a))
    let trial = (square: square, single: max(0, small / a - square * a))
    trials[type] = trial
    return trial
  }

  /// Rounding a row for inputs without order, on one thread.
  private func secondsPerRow(
    _ type: ElementType, columns: Int
  ) throws(ComputeError) -> Double {
    let count = FeedbackQuantizer.tileRows
    let values = Self.noise(count * columns)
    let moments = try InputMoments(columns: columns, like: values, library, on: pool)
    try moments.add(values)
    let inputs = try moments.inputs(damping: 0.1)
    guard let quantizer = try inputs?.quantizer(to: type, quality: quality) else { return 0 }
    let blocks = try FloatBuffer(count: (type.byteCount(elements: values.count) ?? 0) / 4 + 1)
    let scratch = try FloatBuffer(count: quantizer.scratchFloats)
    var best = Double.infinity
    for _ in 0..<3 {
      let start = ContinuousClock.now
      _ = quantizer.quantize(
        values, rows: count, scratch: scratch.pointer, into: blocks.pointer, measuresEnergy: true)
      best = min(best, (ContinuousClock.now - start) / .seconds(1))
    }
    return best / Double(count)
  }
}
