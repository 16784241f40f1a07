import BlockFormats
import KernelInterface

/// How products with block-quantized weights quantize their activations.
public enum ActivationPrecision: String, CaseIterable, Sendable {
  /// 8 bits where that adds little to the error of the weights themselves, else 16: by what the
  /// file says was left of each weight's error, else by the type's.
  case auto
  /// 8 bits wherever the CPU's kernels can.
  case int8
  /// 16 bits: within 1e-4 of the exact product.
  case exact
}

/// The arithmetic of one product.
package enum ProductKind: String, Sendable {
  /// Float32 times weights dequantized to float32.
  case float = "float32"
  /// Weight codes times activations of 8 bits that share scales as the weight's do.
  case int8
  /// The same with activations that share a scale in each block of 256, for weights whose scales
  /// are integers: groups are summed up before anything becomes float32.
  case int8Blocks = "int8/256"
  /// Weight codes times activations of 16 bits.
  case int16

  /// - Parameters:
  ///   - type: how the weight is stored.
  ///   - precision: what the user wants.
  ///   - kernels: what the CPU can do.
  ///   - errors: what is known of products with the weight.
  package init(
    _ type: ElementType, _ precision: ActivationPrecision, _ kernels: KernelSet,
    errors: ProductErrors? = nil
  ) {
    guard let layout = type.codeLayout else {
      self = .float
      return
    }
    let largestSum = layout.largestCode * layout.groupWidth
    let fits = largestSum <= kernels.largestInt8Sum
    let sumsBlocks =
      layout.hasIntegerScales && kernels.multiplyInt8Blocks != nil
      && 2 * largestSum <= kernels.largestInt8Sum
    let rounded: ProductKind = sumsBlocks ? .int8Blocks : .int8
    switch precision {
    case .exact: self = .int16
    case .int8: self = fits ? rounded : .int16
    case .auto: self = fits ? Self.tolerated(type, rounded, errors) : .int16
    }
  }

  /// The fastest arithmetic that adds at most a twentieth to the error of the weights.
  private static func tolerated(
    _ type: ElementType, _ rounded: ProductKind, _ errors: ProductErrors?
  ) -> ProductKind {
    guard let errors else { return toleratesInt8(type) ? rounded : .int16 }
    if rounded == .int8Blocks, errors.tolerates(errors.activations256) { return rounded }
    return errors.tolerates(errors.activations32) ? .int8 : .int16
  }

  /// Whether quantizing activations to 8 bits adds at most a tenth to the error of the weights' own
  /// quantization.
  private static func toleratesInt8(_ type: ElementType) -> Bool { type != .q8_0 }

  /// Activations that share a scale.
  ///
  /// - Parameter layout: the weight's.
  /// - Returns: how many.
  package func scaleWidth(_ layout: CodeLayout) -> Int {
    self == .int8Blocks ? 256 : layout.groupWidth
  }

  /// Bytes of one packed activation or weight code.
  var bytesPerElement: Int {
    switch self {
    case .float: 4
    case .int8, .int8Blocks: 1
    case .int16: 2
    }
  }
}
