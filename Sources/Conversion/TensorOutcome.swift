import BlockFormats
import ModelFiles

/// What became of one tensor.
package struct TensorOutcome: Sendable {
  package let name: String
  package let type: ElementType
  package let sourceType: ElementType
  package let elementCount: Int
  package let byteCount: Int
  /// Root of the mean squared error, relative to the root mean square of the weights; zero for
  /// copies, nil if it was not measured or some weights are not finite.
  package var relativeError: Double?
  /// The same of the products with the inputs that the tensor was rounded for; nil where none are
  /// known.
  package var productError: Double?
  /// Weights that are NaN or infinite in the input, or became so.
  package var notFiniteCount = 0
  /// What its bytes in the input looked like, piece by piece.
  package var contents: [StoredContent] = []
}

/// What is counted while a piece of a tensor is converted.
struct TileSums {
  var squaredError = 0.0
  var square = 0.0
  /// Sums over rows of the squares of products' errors and of products.
  var productError = 0.0
  var productSquare = 0.0
  var notFiniteCount = 0
  /// The first such element, counted from the beginning of the piece; -1 for none.
  var firstNotFinite = -1
  /// Whether it was finite before it was quantized.
  var isOverflow = false
  /// The value.
  var value: Float = 0

  /// Looks for values that are not finite, or too large for a type: `limit` holds the bits of the
  /// least magnitude that is too much.
  @inline(__always)
  mutating func scan(_ values: UnsafePointer<Float>, _ count: Int, limit: UInt32) {
    // Adding the distance of the limit to 2³¹ sets the upper bit of what reaches it.
    let distance = 0x8000_0000 &- limit
    let source = UnsafeRawPointer(values)
    var found = SIMD8<UInt32>(repeating: 0)
    var index = 0
    while index &+ 8 <= count {
      let bits = source.loadUnaligned(fromByteOffset: index &* 4, as: SIMD8<UInt32>.self)
      found |= (bits & 0x7FFF_FFFF) &+ distance
      index &+= 8
    }
    var rest: UInt32 = 0
    while index < count {
      rest |= (values[index].bitPattern & 0x7FFF_FFFF) &+ distance
      index &+= 1
    }
    for lane in 0..<8 { rest |= found[lane] }
    guard rest & 0x8000_0000 != 0 else { return }
    for index in 0..<count where (values[index].bitPattern & 0x7FFF_FFFF) >= limit {
      note(index, values[index])
    }
  }

  private mutating func note(_ index: Int, _ found: Float) {
    notFiniteCount += 1
    guard firstNotFinite < 0 else { return }
    (firstNotFinite, value, isOverflow) = (index, found, found.isFinite)
  }

  /// Adds up squares of values and of their differences to others.
  @inline(__always)
  mutating func add(
    _ values: UnsafePointer<Float>, _ others: UnsafePointer<Float>, _ count: Int
  ) {
    let (left, right) = (UnsafeRawPointer(values), UnsafeRawPointer(others))
    var start = 0
    while start < count {
      // Short sums lose little in float32.
      let end = min(count, start &+ 1024)
      var (errors, squares) = (SIMD8<Float>(repeating: 0), SIMD8<Float>(repeating: 0))
      var index = start
      while index &+ 8 <= end {
        let value = left.loadUnaligned(fromByteOffset: index &* 4, as: SIMD8<Float>.self)
        let other = right.loadUnaligned(fromByteOffset: index &* 4, as: SIMD8<Float>.self)
        let error = value - other
        errors += error * error
        squares += value * value
        index &+= 8
      }
      squaredError += Double(errors.sum())
      square += Double(squares.sum())
      while index < end {
        let error = Double(values[index]) - Double(others[index])
        squaredError += error * error
        square += Double(values[index]) * Double(values[index])
        index &+= 1
      }
      start = end
    }
  }
}
