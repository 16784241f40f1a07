import Foundation

/// A linear map of three color coordinates.
struct ColorMatrix {
  /// What the three unit colors become.
  private let columns: (SIMD3<Double>, SIMD3<Double>, SIMD3<Double>)

  init(columns first: SIMD3<Double>, _ second: SIMD3<Double>, _ third: SIMD3<Double>) {
    columns = (first, second, third)
  }

  /// The mapped color.
  @inline(__always)
  func callAsFunction(_ color: SIMD3<Double>) -> SIMD3<Double> {
    columns.0 * color.x + columns.1 * color.y + columns.2 * color.z
  }

  /// The map with its input scaled coordinate by coordinate.
  func scalingInput(by scale: SIMD3<Double>) -> ColorMatrix {
    ColorMatrix(columns: columns.0 * scale.x, columns.1 * scale.y, columns.2 * scale.z)
  }

  /// The map with its output scaled coordinate by coordinate.
  func scalingOutput(by scale: SIMD3<Double>) -> ColorMatrix {
    ColorMatrix(columns: columns.0 * scale, columns.1 * scale, columns.2 * scale)
  }

  /// The map back, by Cramer's rule.
  var inverse: ColorMatrix {
    let rows = (
      Self.cross(columns.1, columns.2), Self.cross(columns.2, columns.0),
      Self.cross(columns.0, columns.1)
    )
    let determinant = (columns.0 * rows.0).sum()
    return ColorMatrix(
      columns: SIMD3(rows.0.x, rows.1.x, rows.2.x) / determinant,
      SIMD3(rows.0.y, rows.1.y, rows.2.y) / determinant,
      SIMD3(rows.0.z, rows.1.z, rows.2.z) / determinant)
  }

  private static func cross(_ a: SIMD3<Double>, _ b: SIMD3<Double>) -> SIMD3<Double> {
    SIMD3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x)
  }
}

/// The color space of the pictures, IEC 61966-2-1.
enum SRGB {
  /// From linear red, green and blue to CIE XYZ relative to white, so that white is (1, 1, 1).
  ///
  /// From the chromaticities of the primaries and of the white D65 (0.31271, 0.32902).
  static let toRelativeXYZ: ColorMatrix = {
    func color(_ x: Double, _ y: Double) -> SIMD3<Double> { SIMD3(x / y, 1, (1 - x - y) / y) }
    let primaries = ColorMatrix(columns: color(0.64, 0.33), color(0.30, 0.60), color(0.15, 0.06))
    let white = color(0.31271, 0.32902)
    return primaries.scalingInput(by: primaries.inverse(white)).scalingOutput(by: 1 / white)
  }()

  /// The linear intensity, 0...1, of each 8-bit sample.
  static let linear: [Double] = (0...255).map {
    let value = Double($0) / 255
    return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
  }

  /// The 8-bit sample nearest to a linear intensity; intensities beyond 0...1 are clamped.
  static func sample(_ linear: Double) -> UInt8 {
    let value = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055
    return UInt8((255 * min(max(value, 0), 1)).rounded())
  }
}

/// CIE 1976 L\*a\*b\*: lightness, green to red, blue to yellow.
enum CIELab {
  /// Where the cube root gives way to a line.
  private static var knee: Double { 6.0 / 29 }

  /// The coordinates of a color given as XYZ relative to white.
  @inline(__always)
  static func color(relativeXYZ color: SIMD3<Double>) -> SIMD3<Double> {
    let roots = cubeRoots(color)
    func compressed(_ value: Double, _ root: Double) -> Double {
      value > knee * knee * knee ? root : value / (3 * knee * knee) + 4.0 / 29
    }
    let x = compressed(color.x, roots.x)
    let y = compressed(color.y, roots.y)
    let z = compressed(color.z, roots.z)
    return SIMD3(116 * y - 16, 500 * (x - y), 200 * (y - z))
  }

  /// XYZ relative to white of a color given by its coordinates.
  @inline(__always)
  static func relativeXYZ(_ color: SIMD3<Double>) -> SIMD3<Double> {
    let y = (color.x + 16) / 116
    return SIMD3(
      expanded(y + color.y / 500), expanded(y), expanded(y - color.z / 200))
  }

  /// Cube roots of three normal positive numbers, to a relative error below 2⁻⁴⁵: FLIP needs six
  /// per pixel, for which the library's `cbrt` is slow.
  ///
  /// A third of the exponent, with the bits of the fraction taken along, is right within 3.5 %;
  /// each step of Halley's method cubes the error.
  @inline(__always)
  private static func cubeRoots(_ values: SIMD3<Double>) -> SIMD3<Double> {
    // Two thirds of the exponent's bias, less what balances the errors to both sides.
    let bias = UInt64((1023.0 * 2 / 3 - 0.0331) * 0x1p52)
    func estimate(_ value: Double) -> Double { Double(bitPattern: value.bitPattern / 3 &+ bias) }
    var roots = SIMD3(estimate(values.x), estimate(values.y), estimate(values.z))
    for _ in 0..<2 {
      let cubes = roots * roots * roots
      roots *= (cubes + values + values) / (cubes + cubes + values)
    }
    return roots
  }

  private static func expanded(_ value: Double) -> Double {
    value > knee ? value * value * value : 3 * knee * knee * (value - 4.0 / 29)
  }
}

/// YCxCz: the linear counterpart of L\*a\*b\*, in which light can be added up.
enum YCxCz {
  /// The coordinates of a color given as XYZ relative to white.
  @inline(__always)
  static func color(relativeXYZ color: SIMD3<Double>) -> SIMD3<Double> {
    SIMD3(116 * color.y - 16, 500 * (color.x - color.y), 200 * (color.y - color.z))
  }

  /// XYZ relative to white of a color given by its coordinates.
  @inline(__always)
  static func relativeXYZ(_ color: SIMD3<Double>) -> SIMD3<Double> {
    let y = (color.x + 16) / 116
    return SIMD3(y + color.y / 500, y, y - color.z / 200)
  }
}
