import BlockFormats
import CIntrinsics
import KernelInterface

/// Outputs that are summed side by side, as each sum is a chain of dependent additions.
private let bandOutputs = 4
/// Columns that are unpacked at once, into the first-level cache.
private let runWidth = 256

/// Products of a single row of activations, in each block format.
protocol RowMultiplication {
  /// See `KernelSet.multiplyRow`.
  static func multiply(_ product: RowProduct)
}

/// See `KernelSet.multiplyRow`.
func multiplyRow(_ arguments: UnsafePointer<RowProduct>) {
  let product = arguments.pointee
  guard let number = product.type.ggufID, let format = codedFormat(ggmlType: number) else {
    preconditionFailure("a type without codes")
  }
  format.multiply(product)
}

extension BlockFormat {
  static func multiply(_ product: RowProduct) { multiplyGroups(product, as: Self.self) }
}

extension IntegerScaledFormat {
  static func multiply(_ product: RowProduct) { multiplyScaled(product, as: Self.self) }
}

private func multiplyGroups<Format: BlockFormat>(_ product: RowProduct, as format: Format.Type) {
  multiply(product, as: format, sumsBlocks: false) { _ in (0, SIMD2()) }
}

private func multiplyScaled<Format: IntegerScaledFormat>(
  _ product: RowProduct, as format: Format.Type
) {
  if product.sumsBlocks {
    multiply(product, as: format, sumsBlocks: true) { Format.integerScales($0) }
  } else {
    multiplyGroups(product, as: format)
  }
}

/// `sumsBlocks` and `integerScales` are constants wherever this is inlined.
@inline(__always)
private func multiply<Format: BlockFormat>(
  _ product: RowProduct, as format: Format.Type, sumsBlocks: Bool,
  _ integerScales: (UnsafeRawPointer) -> (factor: Float, scales: SIMD2<UInt64>)
) {
  var scratch = RowScratch(product, groups: product.columns / Format.groupWidth)
  var first = 0
  while first < product.outputs {
    let count = min(bandOutputs, product.outputs &- first)
    for output in 0..<count {
      scratch.output = output
      var block = product.weights + (first &+ output) &* product.rowBytes
      var column = 0
      while column < product.columns {
        let blocks = min(runWidth, product.columns &- column) / Format.elementsPerBlock
        multiplyRun(block, blocks, product.activations + column, as: format, scratch)
        scratch.finishRun(
          product, column: column, as: format, sumsBlocks ? integerScales(block) : nil)
        block += blocks &* Format.bytesPerBlock
        column &+= runWidth
      }
    }
    addUp(product, first..<first &+ count, scratch, as: format, sumsBlocks: sumsBlocks)
    first &+= bandOutputs
  }
}

/// Unpacks the blocks of a run and multiplies their codes by activations: eight sums a group.
@inline(__always)
private func multiplyRun<Format: BlockFormat>(
  _ source: UnsafeRawPointer, _ blocks: Int, _ activations: UnsafePointer<Int16>,
  as format: Format.Type, _ scratch: RowScratch
) {
  for block in 0..<blocks {
    let group = block &* (Format.elementsPerBlock / Format.groupWidth)
    Format.unpack(
      source + block &* Format.bytesPerBlock, codes: scratch.codes, scales: scratch.scales + group,
      minimums: scratch.minimums + group)
    let x = UnsafeRawPointer(activations + block &* Format.elementsPerBlock)
    let codes = UnsafeRawPointer(scratch.codes)
    let sums = UnsafeMutableRawPointer(scratch.sums + 8 &* group)
    for run in 0..<Format.elementsPerBlock / 32 {
      let low = products(codes + 32 &* run, x + 64 &* run)
      let high = products(codes + (32 &* run &+ 16), x + (64 &* run &+ 32))
      if Format.groupWidth == 32 {
        sums.storeBytes(
          of: _mm256_add_epi32(low, high), toByteOffset: 32 &* run, as: SIMD4<Int64>.self)
      } else {
        sums.storeBytes(of: low, toByteOffset: 64 &* run, as: SIMD4<Int64>.self)
        sums.storeBytes(of: high, toByteOffset: 64 &* run &+ 32, as: SIMD4<Int64>.self)
      }
    }
  }
}

/// Sums of pairs of products of 16 codes.
@inline(__always)
private func products(_ codes: UnsafeRawPointer, _ x: UnsafeRawPointer) -> SIMD4<Int64> {
  _mm256_madd_epi16(
    _mm256_cvtepi8_epi16(codes.loadUnaligned(as: SIMD2<Int64>.self)),
    x.loadUnaligned(as: SIMD4<Int64>.self))
}

/// Adds the sums of four outputs' groups or blocks, in the order of tiles.
@inline(__always)
private func addUp<Format: BlockFormat>(
  _ product: RowProduct, _ outputs: Range<Int>, _ scratch: RowScratch, as format: Format.Type,
  sumsBlocks: Bool
) {
  let result = product.result + outputs.lowerBound
  var totals = SIMD4<Float>()
  for output in 0..<outputs.count { totals[output] = result[output] }
  let pieceWidth = sumsBlocks ? 256 : Format.groupWidth
  var start = 0
  while start < product.columns {
    let end = min(product.columns, start &+ product.partWidth)
    if Format.hasMinimums {
      for group in start / Format.groupWidth..<end / Format.groupWidth {
        scratch.add(scratch.outputMinimums + group, times: product.sums[group], to: &totals)
      }
    }
    for piece in start / pieceWidth..<end / pieceWidth {
      scratch.add(
        scratch.outputProducts + piece, times: product.activationScales[piece], to: &totals)
    }
    start = end
  }
  for output in 0..<outputs.count { result[output] = totals[output] }
}

/// Scratch memory for a band of outputs.
private struct RowScratch {
  /// Of one block, 256.
  let codes: UnsafeMutablePointer<Int8>
  /// Of one run: eight for each group, which add up to its sum of products.
  let sums: UnsafeMutablePointer<Int32>
  /// Of one run's groups.
  let scales, minimums: UnsafeMutablePointer<Float>
  /// Of all groups or blocks, one output after the other.
  let outputProducts, outputMinimums: UnsafeMutablePointer<Float>
  /// From one output's to the next's.
  let stride: Int
  /// The output of the band that is computed.
  var output = 0

  @inline(__always)
  init(_ product: RowProduct, groups: Int) {
    let run = RowProduct.groupsPerRun
    let base = UnsafeMutableRawPointer(product.scratch)
    codes = base.assumingMemoryBound(to: Int8.self)
    sums = (base + 256).assumingMemoryBound(to: Int32.self)
    scales = (base + (256 &+ 32 &* run)).assumingMemoryBound(to: Float.self)
    minimums = scales + run
    stride = groups &+ run
    outputProducts = minimums + run
    outputMinimums = outputProducts + bandOutputs &* stride
  }

  /// Turns the sums of a run into products, and centres them.
  ///
  /// - Parameters:
  ///   - product: what is computed.
  ///   - column: the run's first.
  ///   - format: the weight's.
  ///   - block: integer scales and their factor, where groups of a block are summed up.
  @inline(__always)
  func finishRun<Format: BlockFormat>(
    _ product: RowProduct, column: Int, as format: Format.Type,
    _ block: (factor: Float, scales: SIMD2<UInt64>)?
  ) {
    let first = column / Format.groupWidth
    let place = output &* stride &+ first
    var blockSum = SIMD8<Int32>()
    for part in 0..<runWidth / Format.groupWidth / 8 {
      var sums = addEights(UnsafeRawPointer(self.sums + 64 &* part))
      let scales = vector(self.scales + 8 &* part)
      if Format.hasMinimums {
        // The middle of the codes is not taken from each of them but from their sum.
        let codeSums = UnsafeRawPointer(product.codeSums + (first &+ 8 &* part)).loadUnaligned(
          as: SIMD8<Int32>.self)
        sums = sums &- codeSums &* Int32(Format.center)
        let minimums = vector(self.minimums + 8 &* part) + Float(Format.center) * scales
        store(minimums, at: outputMinimums + (place &+ 8 &* part))
      }
      if let block {
        blockSum = blockSum &+ sums &* numbers(signed: block.scales[part])
      } else {
        store(floats(sums) * scales, at: outputProducts + (place &+ 8 &* part))
      }
    }
    if let block {
      outputProducts[output &* stride &+ column / 256] =
        Float(addLanes(blockSum)) * block.factor
    }
  }

  /// Adds one group's or block's values of four outputs times a factor.
  @inline(__always)
  func add(_ values: UnsafePointer<Float>, times factor: Float, to totals: inout SIMD4<Float>) {
    let four = SIMD4(values[0], values[stride], values[2 &* stride], values[3 &* stride])
    totals = _mm_fmadd_ps(four, SIMD4(repeating: factor), totals)
  }

  @inline(__always)
  private func vector(_ values: UnsafePointer<Float>) -> SIMD8<Float> {
    UnsafeRawPointer(values).loadUnaligned(as: SIMD8<Float>.self)
  }

  @inline(__always)
  private func store(_ values: SIMD8<Float>, at place: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(place).storeBytes(of: values, as: SIMD8<Float>.self)
  }
}

@inline(__always)
private func addLanes(_ lanes: SIMD8<Int32>) -> Int32 {
  let four = lanes.lowHalf &+ lanes.highHalf
  let two = four.lowHalf &+ four.highHalf
  return two[0] &+ two[1]
}

/// The sums of eight runs of eight numbers.
@inline(__always)
private func addEights(_ source: UnsafeRawPointer) -> SIMD8<Int32> {
  @inline(__always) func eight(_ index: Int) -> SIMD4<Int64> {
    source.loadUnaligned(fromByteOffset: 32 &* index, as: SIMD4<Int64>.self)
  }
  // Halves of registers stay apart until the end.
  let low = _mm256_hadd_epi32(
    _mm256_hadd_epi32(eight(0), eight(1)), _mm256_hadd_epi32(eight(2), eight(3)))
  let high = _mm256_hadd_epi32(
    _mm256_hadd_epi32(eight(4), eight(5)), _mm256_hadd_epi32(eight(6), eight(7)))
  let first = SIMD4<Int64>(lowHalf: low.lowHalf, highHalf: high.lowHalf)
  let second = SIMD4<Int64>(lowHalf: low.highHalf, highHalf: high.highHalf)
  return unsafeBitCast(_mm256_add_epi32(first, second), to: SIMD8<Int32>.self)
}
