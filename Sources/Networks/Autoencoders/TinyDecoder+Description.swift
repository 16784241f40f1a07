import Checkpoints
import ModelFiles
import StrictJSON

extension TinyDecoder {
  /// What is known of tiny decoders as data.
  package static let description = NetworkDescription(
    id: "AutoencoderTiny", library: .diffusers, className: "AutoencoderTiny", architecture: "vae",
    tables: AutoencoderNames.tinyTables, prefixes: ["", "taesd_decoder.", "decoder.", "vae."],
    roles: [RoleRule("**", .sensitive)], settings: [scale, replacedScale, replacedShift],
    idleParts: idleParts,
    open: { source throws(ModelFileError) in
      let channels = try TinyDecoder(source).latentChannels
      let factor = try source.value(scale, in: 1e-6...1e6)
      return NetworkFacts(settings: [SettingValue(scale, factor)]) { _ in
        [
          .init(key: "_class_name", value: "AutoencoderTiny"),
          .init(key: "latent_channels", value: .integer(channels)),
          .init(key: "scaling_factor", value: .double(factor)),
        ]
      }
    },
    checkIdleParts: { source throws(ModelFileError) in
      _ = try TinyDecoder(source).openEncoder()
    })

  /// What names of the half that makes latents begin with, where both are in one file.
  static let encoderPrefix = "encoder."
  static let idleParts = [encoderPrefix]

  /// What latents are divided by before decoding: nothing, since it is trained on scaled latents.
  static let scale = Setting(
    "scaling_factor", metadata: "vae.scaling_factor", config: "scaling_factor",
    flag: "--vae-scaling-factor", published: 1)
  /// The scaling factor of the autoencoder that it takes the place of, which families say.
  static let replacedScale = Setting("replaced_scaling_factor", published: 1)
  /// Its shift.
  static let replacedShift = Setting("replaced_shift_factor", published: 0)
}
