import Foundation
import Images

/// The colors of FLIP: from samples to the filters, and from their results to the error.
struct FLIPColors {
  private let toRelativeXYZ = SRGB.toRelativeXYZ
  private let toLinear = SRGB.toRelativeXYZ.inverse
  private let linear = SRGB.linear
  private let greatest: Double

  // The paper's section 4.1.3: differences of color to this power; this part of the greatest
  // becomes this error, so that what is beyond it shares the rest.
  private static var colorExponent: Double { 0.7 }
  private static var bend: (distance: Double, error: Double) { (0.4, 0.95) }

  /// Finds the greatest difference that colors of a screen can have: of pure green and blue.
  init() {
    func pure(_ color: SIMD3<Double>) -> SIMD3<Double> {
      Self.huntAdjusted(CIELab.color(relativeXYZ: SRGB.toRelativeXYZ(color)))
    }
    greatest = pow(Self.distance(pure([0, 1, 0]), pure([0, 0, 1])), Self.colorExponent)
  }

  /// Converts a row of a picture to YCxCz planes that lie `stride` numbers apart.
  func read(
    _ image: RGBImage, row: Int, into planes: UnsafeMutablePointer<Double>, stride: Int
  ) {
    image.pixels.withUnsafeBufferPointer { pixels in
      linear.withUnsafeBufferPointer { linear in
        var index = 3 * row * image.width
        for x in 0..<image.width {
          let color = SIMD3(
            linear[Int(pixels[index])], linear[Int(pixels[index &+ 1])],
            linear[Int(pixels[index &+ 2])])
          let result = YCxCz.color(relativeXYZ: toRelativeXYZ(color))
          planes[x] = result.x
          planes[stride &+ x] = result.y
          planes[2 &* stride &+ x] = result.z
          index &+= 3
        }
      }
    }
  }

  /// The error of a pixel: that of its color, made greater by that of its features.
  func error(_ reference: FLIPResponse, _ picture: FLIPResponse) -> Double {
    let edge = abs(reference.edge - picture.edge)
    let point = abs(reference.point - picture.point)
    // Differences of features count by their square root (the paper's section 4.2.2).
    let feature = (max(edge, point) * 0.5.squareRoot()).squareRoot()
    return pow(colorError(reference.color, picture.color), 1 - feature)
  }

  /// The error of colors in YCxCz, 0...1.
  private func colorError(_ reference: SIMD3<Double>, _ picture: SIMD3<Double>) -> Double {
    let distance = Self.distance(perceived(reference), perceived(picture))
    let difference = pow(distance, Self.colorExponent)
    let (part, error) = Self.bend
    let bend = part * greatest
    return difference < bend
      ? difference * (error / bend)
      : error + (difference - bend) / (greatest - bend) * (1 - error)
  }

  /// What of a filtered color a screen can show, in Hunt-adjusted L\*a\*b\*.
  @inline(__always)
  private func perceived(_ color: SIMD3<Double>) -> SIMD3<Double> {
    let light = toLinear(YCxCz.relativeXYZ(color))
    func clamped(_ value: Double) -> Double { min(max(value, 0), 1) }
    let shown = SIMD3(clamped(light.x), clamped(light.y), clamped(light.z))
    return Self.huntAdjusted(CIELab.color(relativeXYZ: toRelativeXYZ(shown)))
  }

  /// Colors look more colorful the brighter they are (the Hunt effect).
  @inline(__always)
  private static func huntAdjusted(_ color: SIMD3<Double>) -> SIMD3<Double> {
    SIMD3(color.x, 0.01 * color.x * color.y, 0.01 * color.x * color.z)
  }

  /// The distance HyAB: of lightness plus that in the plane of the other two coordinates.
  @inline(__always)
  private static func distance(_ first: SIMD3<Double>, _ second: SIMD3<Double>) -> Double {
    let difference = first - second
    return abs(difference.x)
      + (difference.y * difference.y + difference.z * difference.z).squareRoot()
  }
}
