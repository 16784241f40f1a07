import ArgumentParser
import TextToImage

/// What neither tensors nor files may tell of a model.
struct ArchitectureOptions: ParsableArguments {
  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Elements of an attention head, where no file tells (AuraFlow: 256).",
      valueName: "count"))
  var headDimension: Int?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Groups of the VAE's normalizations, where no file tells (published: 32).",
      valueName: "count"))
  var vaeNormGroups: Int?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Scale of the VAE's latents, where no file tells (AuraFlow: 0.13025, FLUX.1: 0.3611).",
      valueName: "factor"))
  var vaeScalingFactor: Double?

  @Option(
    name: [.long], parsing: .unconditional,
    help: ArgumentHelp(
      "Distance of the text encoder's last position bucket, where no file tells (published: 128).",
      valueName: "tokens"))
  var relativeMaxDistance: Int?

  /// Whether no flag was given.
  var isEmpty: Bool {
    headDimension == nil && vaeNormGroups == nil && vaeScalingFactor == nil
      && relativeMaxDistance == nil
  }

  /// Facts given by flags.
  func hints() -> ArchitectureHints {
    var hints = ArchitectureHints()
    hints.headDimension = headDimension
    hints.normGroups = vaeNormGroups
    hints.scalingFactor = vaeScalingFactor
    hints.relativeMaxDistance = relativeMaxDistance
    return hints
  }
}
