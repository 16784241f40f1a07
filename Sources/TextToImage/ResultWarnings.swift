import Images

/// Signs that a result is not a picture: weights that are damaged, of the wrong scale or another
/// model's still give finite numbers and an image.
public enum ResultWarnings {
  /// Latents of larger magnitude are not those of a picture.
  ///
  /// Noise has the variance 1, and behind an autoencoder's scaling factor the latents of pictures
  /// have it too: of millions of values hardly one is beyond 6. The shipped model's reach 4.7 in 32
  /// pictures with guidance of 3.5, and 8.9 with one of 30. Ten times that leaves no doubt.
  public static let largestLatent: Float = 100

  /// Says whether latents are beyond what pictures have.
  ///
  /// - Parameters:
  ///   - latents: of one or more pictures.
  ///   - place: when they were so, such as `after step 1 of 20`.
  /// - Returns: a line; nil for sound latents.
  public static func note(latents: [[Float]], _ place: String) -> String? {
    var largest: Float = 0
    for values in latents {
      // A NaN is larger than everything.
      for value in values where !(abs(value) <= largest) { largest = abs(value) }
    }
    guard !(largest <= largestLatent) else { return nil }
    return
      "the latents reach \(shown(largest)) \(place), where those of pictures stay within 10 or so: "
      + "the weights are damaged or of another scale, or guidance is far too strong"
  }

  /// Says whether a picture shows nothing at all.
  ///
  /// - Parameter image: the picture.
  /// - Returns: a line; nil for one of more than one colour.
  public static func note(image: RGBImage) -> String? {
    let pixels = image.pixels
    guard pixels.count > 3 else { return nil }
    for channel in 0..<3 {
      let values = stride(from: channel, to: pixels.count, by: 3).lazy.map { pixels[$0] }
      // Rounding may make two neighbours of one colour.
      guard let least = values.min(), let largest = values.max(), largest - least <= 1 else {
        return nil
      }
    }
    let color = pixels.prefix(3).map { "\($0)" }.joined(separator: ", ")
    return
      "the picture has one single colour (\(color)): the weights are damaged or of another scale, "
      + "or parts belong to different models; 'auraflow inspect --verify' checks them"
  }

  private static func shown(_ value: Float) -> String {
    value < 1e6 ? "\(Int(value.rounded()))" : "\(value)"
  }
}

extension GeneratedImage {
  /// Signs that this is not a picture, as lines.
  public var warnings: [String] {
    [
      ResultWarnings.note(latents: [latents], "at the end"), ResultWarnings.note(image: image),
    ].compactMap { $0 }
  }
}
