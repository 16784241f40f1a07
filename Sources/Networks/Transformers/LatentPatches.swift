/// How latents are cut into image tokens, row by row of the picture.
package struct LatentPatches: Sendable {
  /// The order of a token's features, the slowest first.
  package enum FeatureOrder: Sendable {
    /// Channel, row, column.
    case channelFirst
    /// Row, column, channel.
    case channelLast
  }

  package let channels: Int
  package let height: Int
  package let width: Int
  /// Latent pixels per side of a token.
  package let patchSize: Int

  package init(channels: Int, height: Int, width: Int, patchSize: Int) {
    self.channels = channels
    self.height = height
    self.width = width
    self.patchSize = patchSize
  }

  /// Tokens per column of the picture.
  package var rows: Int { height / patchSize }
  /// Tokens per row of the picture.
  package var columns: Int { width / patchSize }
  package var count: Int { rows * columns }
  package var featureCount: Int { channels * patchSize * patchSize }

  /// `[channels, height, width]` as `[tokens, features]`.
  package func features(of latents: [Float], _ order: FeatureOrder) -> [Float] {
    var features = [Float](repeating: 0, count: latents.count)
    forEachFeature(order) { features[$0] = latents[$1] }
    return features
  }

  /// `[tokens, features]` as `[channels, height, width]`.
  package func latents(of features: [Float], _ order: FeatureOrder) -> [Float] {
    var latents = [Float](repeating: 0, count: channels * height * width)
    forEachFeature(order) { latents[$1] = features[$0] }
    return latents
  }

  /// Calls `body` with the place of every feature among the tokens, and of its latent.
  private func forEachFeature(
    _ order: FeatureOrder, _ body: (_ feature: Int, _ latent: Int) -> Void
  ) {
    var feature = 0
    for row in 0..<rows {
      for column in 0..<columns {
        for inner in 0..<featureCount {
          let area = patchSize * patchSize
          let (channel, pixel) =
            order == .channelFirst
            ? (inner / area, inner % area) : (inner % channels, inner / channels)
          let y = row * patchSize + pixel / patchSize
          let x = column * patchSize + pixel % patchSize
          body(feature, (channel * height + y) * width + x)
          feature += 1
        }
      }
    }
  }
}
