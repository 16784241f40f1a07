import Checkpoints

/// The sizes of an image autoencoder (AutoencoderKL).
struct AutoencoderSizes: Sendable {
  /// Channels of the levels, from the picture's side.
  let channels: [Int]
  let blocksPerLevel: Int
  let normGroups: Int

  /// What AuraFlow's autoencoder has.
  static let latentChannels = 4
  static let scalingFactor = 0.13025

  /// All tensors under LDM names, encoder and decoder.
  var tensors: [SyntheticTensor] {
    let latent = Self.latentChannels
    return encoder + convolution("quant_conv", 2 * latent, 2 * latent, kernel: 1)
      + convolution("post_quant_conv", latent, latent, kernel: 1) + decoder
  }

  private var first: Int { channels.first ?? 0 }
  private var last: Int { channels.last ?? 0 }

  private var encoder: [SyntheticTensor] {
    var tensors = convolution("encoder.conv_in", 3, first)
    var inputs = first
    for (level, outputs) in channels.enumerated() {
      for block in 0..<blocksPerLevel {
        tensors += residualBlock("encoder.down.\(level).block.\(block)", inputs, outputs)
        inputs = outputs
      }
      if level < channels.count - 1 {
        tensors += convolution("encoder.down.\(level).downsample.conv", outputs, outputs)
      }
    }
    return tensors + middle("encoder.mid") + norm("encoder.norm_out", last)
      + convolution("encoder.conv_out", last, 2 * Self.latentChannels)
  }

  private var decoder: [SyntheticTensor] {
    var tensors = convolution("decoder.conv_in", Self.latentChannels, last) + middle("decoder.mid")
    var inputs = last
    for (level, outputs) in channels.enumerated().reversed() {
      for block in 0...blocksPerLevel {
        tensors += residualBlock("decoder.up.\(level).block.\(block)", inputs, outputs)
        inputs = outputs
      }
      if level > 0 {
        tensors += convolution("decoder.up.\(level).upsample.conv", outputs, outputs)
      }
    }
    return tensors + norm("decoder.norm_out", first) + convolution("decoder.conv_out", first, 3)
  }

  private func middle(_ name: String) -> [SyntheticTensor] {
    let attention = ["q", "k", "v", "proj_out"].flatMap { part -> [SyntheticTensor] in
      [
        .weight(.autoencoder, "\(name).attn_1.\(part).weight", [last, last], .sensitive),
        .vector(.autoencoder, "\(name).attn_1.\(part).bias", last, 0),
      ]
    }
    return residualBlock("\(name).block_1", last, last) + norm("\(name).attn_1.norm", last)
      + attention + residualBlock("\(name).block_2", last, last)
  }

  private func residualBlock(_ name: String, _ inputs: Int, _ outputs: Int) -> [SyntheticTensor] {
    norm("\(name).norm1", inputs) + convolution("\(name).conv1", inputs, outputs)
      + norm("\(name).norm2", outputs) + convolution("\(name).conv2", outputs, outputs)
      + (inputs == outputs
        ? [] : convolution("\(name).nin_shortcut", inputs, outputs, kernel: 1))
  }

  private func norm(_ name: String, _ channels: Int) -> [SyntheticTensor] {
    [
      .vector(.autoencoder, "\(name).weight", channels, 1),
      .vector(.autoencoder, "\(name).bias", channels, 0),
    ]
  }

  private func convolution(
    _ name: String, _ inputs: Int, _ outputs: Int, kernel: Int = 3
  ) -> [SyntheticTensor] {
    [
      .weight(
        .autoencoder, "\(name).weight", [outputs, inputs, kernel, kernel], .sensitive),
      .vector(.autoencoder, "\(name).bias", outputs, 0),
    ]
  }
}
