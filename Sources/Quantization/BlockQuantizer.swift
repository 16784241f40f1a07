import BlockFormats
import KernelInterface
import Kernels

/// How long to search for the scales that leave the least error.
package enum QuantizationQuality: String, CaseIterable, Sendable {
  /// Errors below those of ggml's quantizers, at several times their speed.
  case fast
  /// A wider search, several times slower, for an error that is a little lower.
  case best
}

/// Quantizes rows of float32 values to one type.
///
/// Without an importance, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 come out as gguf-py makes
/// them, byte for byte, except that a scale beyond float16's range becomes its largest number where
/// gguf-py stores an infinity. All other types, and these four- and five-bit ones with an
/// importance or at `best`, get the scales for which a search finds the least sum of squared
/// errors, each times its column's importance. Q8_0 and plain numbers take no notice of an
/// importance.
///
/// Bytes do not depend on the CPU, nor on which rows are quantized together. A block with a value
/// that is NaN or infinite gets a NaN for its scale, so that all of it reads as NaN; plain numbers
/// keep NaNs and infinities, and F16 makes infinities of magnitudes from 65520.
package struct BlockQuantizer: Sendable {
  /// What rows become.
  package let type: ElementType
  private let quality: QuantizationQuality
  private let kernels: KernelSet

  /// The types that can be made.
  package static let types = ElementType.allCases.filter(\.isConversionTarget)

  /// Prepares quantization to a type; nil where there is no quantizer for it.
  ///
  /// - Parameters:
  ///   - type: what rows become.
  ///   - quality: how long to search for scales.
  package init?(type: ElementType, quality: QuantizationQuality = .fast) {
    self.init(type: type, quality: quality, kernels: KernelSelection.current)
  }

  /// As above, with kernels that this CPU can run.
  package init?(type: ElementType, quality: QuantizationQuality, kernels: KernelSet) {
    guard type.isConversionTarget else { return nil }
    self.type = type
    self.quality = quality
    self.kernels = kernels
  }

  /// Quantizes whole rows, one after the other.
  ///
  /// - Parameters:
  ///   - values: `[rows, columns]`.
  ///   - columns: elements of a row, a multiple of `type.elementsPerBlock`.
  ///   - importance: `[columns]`, how much a squared error in each column counts, not negative (the
  ///     mean squared activation); all count alike if it is nil or has no positive sum.
  ///   - blocks: receives `type.byteCount(elements: columns)` bytes for each row.
  /// - Precondition: counts are as stated.
  package func quantize(
    _ values: UnsafeBufferPointer<Float>, columns: Int, importance: UnsafeBufferPointer<Float>?,
    into blocks: UnsafeMutableRawBufferPointer
  ) {
    guard let source = values.baseAddress, !values.isEmpty else { return }
    precondition(columns > 0 && values.count % columns == 0, "values do not fill whole rows")
    precondition(columns % type.elementsPerBlock == 0, "rows are not whole blocks")
    precondition(importance.map { $0.count == columns } ?? true, "one importance for each column")
    let bytes = values.count / type.elementsPerBlock * type.bytesPerBlock
    precondition(blocks.count >= bytes, "too little space for the blocks")
    guard let target = blocks.baseAddress else { return }
    withUnsafeTemporaryAllocation(byteCount: RowsToRound.scratchBytes, alignment: 32) { scratch in
      guard let scratch = scratch.baseAddress else { return }
      var rows = RowsToRound(
        type: type, isThorough: quality == .best, values: source, rows: values.count / columns,
        columns: columns, importance: importance.flatMap { Self.usable($0) }, blocks: target,
        scratch: scratch)
      kernels.roundRows(&rows)
    }
  }

  /// The importance, unless it says nothing: no column of it counts, or some are NaN, infinite or
  /// negative.
  private static func usable(_ importance: UnsafeBufferPointer<Float>) -> UnsafePointer<Float>? {
    var largest: Float = 0
    for value in importance {
      // Also false for NaN.
      guard value >= 0, value < .infinity else { return nil }
      largest = max(largest, value)
    }
    return largest > 0 ? importance.baseAddress : nil
  }
}
