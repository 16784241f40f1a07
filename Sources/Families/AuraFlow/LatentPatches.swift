/// How latents are cut into image tokens.
///
/// The order of a token's features differs between the transformer's input (channel slowest) and
/// its output (channel fastest).
struct LatentPatches {
  let channels: Int
  let height: Int
  let width: Int
  let patchSize: Int

  /// Tokens per column and per row.
  var rows: Int { height / patchSize }
  var columns: Int { width / patchSize }
  var count: Int { rows * columns }
  var featureCount: Int { channels * patchSize * patchSize }

  /// `[channels, height, width]` as `[tokens, (channel, y, x)]`.
  func inputFeatures(of latents: [Float]) -> [Float] {
    var features: [Float] = []
    features.reserveCapacity(latents.count)
    for row in 0..<rows {
      for column in 0..<columns {
        for channel in 0..<channels {
          for y in 0..<patchSize {
            for x in 0..<patchSize {
              features.append(latents[index(channel, row, column, y, x)])
            }
          }
        }
      }
    }
    return features
  }

  /// `[tokens, (y, x, channel)]` as `[channels, height, width]`.
  func latents(fromOutput features: [Float]) -> [Float] {
    var latents = [Float](repeating: 0, count: channels * height * width)
    var feature = 0
    for row in 0..<rows {
      for column in 0..<columns {
        for y in 0..<patchSize {
          for x in 0..<patchSize {
            for channel in 0..<channels {
              latents[index(channel, row, column, y, x)] = features[feature]
              feature += 1
            }
          }
        }
      }
    }
    return latents
  }

  private func index(_ channel: Int, _ row: Int, _ column: Int, _ y: Int, _ x: Int) -> Int {
    (channel * height + row * patchSize + y) * width + column * patchSize + x
  }
}
