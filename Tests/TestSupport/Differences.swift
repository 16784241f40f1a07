import Foundation

/// The largest difference between two arrays, relative to the largest reference value.
///
/// Infinite where the counts differ or a value is not finite.
package func relativeError(_ values: [Float], _ reference: [Float]) -> Float {
  guard values.count == reference.count, values.allSatisfy(\.isFinite) else { return .infinity }
  let scale = reference.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
  return zip(values, reference).reduce(0) { max($0, abs($1.0 - $1.1)) } / scale
}

/// Peak signal-to-noise ratio of 8-bit samples in dB; infinite for equal ones.
package func peakSignalToNoiseRatio(_ left: [UInt8], _ right: [UInt8]) -> Double {
  guard left.count == right.count, !left.isEmpty else { return 0 }
  let sum = zip(left, right).reduce(0.0) { total, pair in
    let difference = Double(pair.0) - Double(pair.1)
    return total + difference * difference
  }
  guard sum > 0 else { return .infinity }
  return 10 * log10(255 * 255 * Double(left.count) / sum)
}
