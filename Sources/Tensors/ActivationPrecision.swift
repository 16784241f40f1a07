import BlockFormats
import KernelInterface

/// How products with block-quantized weights round their activations.
public enum ActivationPrecision: String, CaseIterable, Sendable {
  /// 8 bits where that adds little to the error of the weights themselves, else 16.
  case auto
  /// 8 bits wherever the CPU's kernels can.
  case int8
  /// 16 bits: within 1e-4 of the exact product.
  case exact
}

/// The arithmetic of one product.
package enum ProductKind: String, Sendable {
  /// Float32 times weights decoded to float32.
  case float = "float32"
  /// Weight codes times activations of 8 bits.
  case int8
  /// Weight codes times activations of 16 bits.
  case int16

  /// - Parameters:
  ///   - type: how the weight is stored.
  ///   - precision: what the user wants.
  ///   - kernels: what the CPU can do.
  package init(_ type: ElementType, _ precision: ActivationPrecision, _ kernels: KernelSet) {
    guard let layout = type.codeLayout else {
      self = .float
      return
    }
    let fits = layout.largestCode * layout.groupWidth <= kernels.largestInt8Sum
    switch precision {
    case .exact: self = .int16
    case .int8: self = fits ? .int8 : .int16
    case .auto: self = fits && Self.toleratesInt8(type) ? .int8 : .int16
    }
  }

  /// Whether rounding activations to 8 bits in groups of 32 adds at most a tenth to the error that
  /// the weights' own rounding makes.
  private static func toleratesInt8(_ type: ElementType) -> Bool { type != .q8_0 }

  /// Bytes of one packed activation or weight code.
  var bytesPerElement: Int {
    switch self {
    case .float: 4
    case .int8: 1
    case .int16: 2
    }
  }
}
