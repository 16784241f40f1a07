import Benchmarks
import BlockFormats
import ComputeCPU
import Kernels
import Testing

/// Numbers at the ends of what formats and float32 can hold.
@Suite("Products of extreme weights and activations") struct ExtremeProductTests {
  /// For each type: a block of zeros with a scale of 1 and integer scales as large as they come,
  /// where its codes are, and the bytes that stand for the least and the largest code.
  private struct Extreme {
    let type: ElementType
    let fields: [Int: [UInt8]]
    let codes: Range<Int>
    var least: UInt8 = 0x00
    var largest: UInt8 = 0xFF
    /// Offsets of float16 scales and minimums.
    let scales: [Int]

    /// A block that is full of `least` or `largest`.
    func block(code: UInt8) -> [UInt8] {
      var block = [UInt8](repeating: 0, count: type.bytesPerBlock)
      for index in codes { block[index] = code }
      for (offset, bytes) in fields {
        block.replaceSubrange(offset..<offset + bytes.count, with: bytes)
      }
      return block
    }
  }

  private static let extremes: [Extreme] = [
    Extreme(type: .q4_0, fields: [0: [0, 0x3C]], codes: 2..<18, scales: [0]),
    Extreme(type: .q4_1, fields: [0: [0, 0x3C, 0, 0xBC]], codes: 4..<20, scales: [0, 2]),
    Extreme(type: .q5_0, fields: [0: [0, 0x3C]], codes: 2..<22, scales: [0]),
    Extreme(type: .q5_1, fields: [0: [0, 0x3C, 0, 0xBC]], codes: 4..<24, scales: [0, 2]),
    Extreme(
      type: .q8_0, fields: [0: [0, 0x3C]], codes: 2..<34, least: 0x80, largest: 0x7F, scales: [0]),
    Extreme(
      type: .q2_K, fields: [0: all(0xFF, 16), 80: [0, 0x3C, 0, 0x3C]], codes: 16..<80,
      scales: [80, 82]),
    Extreme(
      type: .q3_K, fields: [96: all(0xFF, 12), 108: [0, 0x3C]], codes: 0..<96, scales: [108]),
    Extreme(
      type: .q4_K, fields: [0: [0, 0x3C, 0, 0x3C], 4: all(0xFF, 12)], codes: 16..<144,
      scales: [0, 2]),
    Extreme(
      type: .q5_K, fields: [0: [0, 0x3C, 0, 0x3C], 4: all(0xFF, 12)], codes: 16..<176,
      scales: [0, 2]),
    Extreme(
      type: .q6_K, fields: [192: all(0x7F, 16), 208: [0, 0x3C]], codes: 0..<192, scales: [208]),
    Extreme(type: .iq4_nl, fields: [0: [0, 0x3C]], codes: 2..<18, scales: [0]),
    Extreme(
      type: .iq4_xs, fields: [0: [0, 0x3C, 0xFF, 0xFF], 4: all(0xFF, 4)], codes: 8..<136,
      scales: [0]),
  ]

  private static func all(_ byte: UInt8, _ count: Int) -> [UInt8] {
    [UInt8](repeating: byte, count: count)
  }

  @Test("Sums of the largest codes and activations do not overflow", arguments: [Float(1), -1])
  func largestSums(_ sign: Float) throws {
    #expect(Set(Self.extremes.map(\.type)) == Set(ActivationAccuracy.types))
    let columns = 1024
    for extreme in Self.extremes {
      for code in [extreme.least, extreme.largest] {
        let count = columns / extreme.type.elementsPerBlock
        let bytes = (0..<count).flatMap { _ in extreme.block(code: code) }
        let weight = try StoredWeight(extreme.type, bytes, outputs: 1, columns: columns)
        for (kernels, precision) in Self.combinations {
          let device = CPUDevice(threadCount: 1, activations: precision, kernels: kernels)
          for rows in [1, 2, 8] {
            try weight.check(
              [Float](repeating: sign, count: rows * columns), rows: rows, roundsExactly: true,
              on: device)
          }
        }
      }
    }
  }

  /// Zeros, the least and the largest subnormals, the largest numbers of both signs, and one: each
  /// in a block of its own, with random codes.
  @Test("Scales of weights may be zero, subnormal or huge")
  func extremeScales() throws {
    let scales: [UInt16] = [0x0000, 0x0001, 0x8001, 0x03FF, 0x7BFF, 0xFBFF, 0x8000, 0x3C00]
    for extreme in Self.extremes {
      let blockBytes = extreme.type.bytesPerBlock
      let columns = scales.count * extreme.type.elementsPerBlock
      let random = RandomBlocks(extreme.type, rows: 3, columns: columns)
      var bytes = (0..<3).flatMap { random.row($0, byteCount: scales.count * blockBytes) }
      for block in 0..<bytes.count / blockBytes {
        for (index, offset) in extreme.scales.enumerated() {
          let scale = scales[(block + 3 * index) % scales.count]
          bytes[block * blockBytes + offset] = UInt8(truncatingIfNeeded: scale)
          bytes[block * blockBytes + offset + 1] = UInt8(truncatingIfNeeded: scale >> 8)
        }
      }
      let weight = try StoredWeight(extreme.type, bytes, outputs: 3, columns: columns)
      for (kernels, precision) in Self.combinations {
        let device = CPUDevice(threadCount: 1, activations: precision, kernels: kernels)
        for rows in [1, 5, 8] {
          try weight.check(uniform(rows * columns, seed: UInt64(rows)), rows: rows, on: device)
        }
      }
    }
  }

  @Test("Activations of zero, tiny and huge size are rounded without trouble")
  func extremeActivations() throws {
    let columns = 256
    for type in [ElementType.q4_0, .q8_0, .q3_K] {
      let weight = try StoredWeight(
        RandomBlocks(type, rows: 2, columns: columns), outputs: 2, columns: columns)
      let sum = weight.decoded.reduce(0.0) { $0 + Double(abs($1)) }
      for (kernels, precision) in Self.combinations {
        let device = CPUDevice(threadCount: 1, activations: precision, kernels: kernels)
        for size: Float in [0, 0x1p-149, 0x1p-130, 0x1p-100, 1, 0x1p100] {
          // A group whose scale would be less than the smallest normal number counts as zero.
          try weight.check(
            uniform(columns, seed: 9).map { $0 * size }, rows: 1, floor: sum * 0x1p-111, on: device)
        }
      }
    }
  }

  @Test("Activations are finite even if their sums are not")
  func hugeSums() throws {
    let columns = 256
    for (type, size) in [(ElementType.q4_0, Float(0x1p124)), (.q3_K, 0x1p121)] {
      let weight = try StoredWeight(
        RandomBlocks(type, rows: 2, columns: columns), outputs: 2, columns: columns)
      let x = uniform(2 * columns, seed: 9).map { abs($0) * size }
      for (kernels, precision) in Self.combinations {
        let device = CPUDevice(threadCount: 1, activations: precision, kernels: kernels)
        let results = try weight.check(x, rows: 2, on: device)
        #expect(results.allSatisfy { $0.isFinite })
      }
    }
  }

  private static let combinations = KernelSelection.available.flatMap { kernels in
    ActivationPrecision.allCases.map { (kernels, $0) }
  }
}
