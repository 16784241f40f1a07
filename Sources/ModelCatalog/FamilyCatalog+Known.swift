import AuraFlowFamily
import Checkpoints
import Diffusion
import FluxFamily
import ModelFiles
import Networks

/// All families that can be run. Adding one takes its folder and a place in this list; the first is
/// what messages are about where nothing tells the family.
private enum KnownFamilies {
  static var first: any ModelFamily.Type { AuraFlow.self }
  static var others: [any ModelFamily.Type] { [Flux.self] }
}

extension FamilyCatalog {
  /// What is known of all families that can be run.
  package static let known = FamilyCatalog(
    KnownFamilies.first.family, KnownFamilies.others.map { $0.family })

  /// Opens a model.
  ///
  /// - Parameters:
  ///   - sources: its parts where they were found.
  ///   - trainTimesteps: timesteps in training, as the model's files or the family have it.
  /// - Returns: the model.
  /// - Throws: `ModelFileError` naming the first faulty file.
  package func open(
    _ sources: ModelSources, trainTimesteps: Int
  ) throws(ModelFileError) -> any DiffusionModel {
    try Self.opener(of: sources.family, sources.files.first).open(
      sources, trainTimesteps: trainTimesteps)
  }

  /// Opens an encoder of pictures by itself.
  ///
  /// - Parameters:
  ///   - path: a file, or the autoencoder's folder.
  ///   - sources: the model that it is for.
  ///   - hints: facts that neither tensors nor files tell.
  /// - Returns: the encoder.
  /// - Throws: `ModelFileError` if the file holds none, or a damaged one.
  package func encoder(
    at path: String, for sources: ModelSources, hints: ArchitectureHints
  ) throws(ModelFileError) -> any LatentEncoder {
    let place = sources.family.slots.first { slot in
      slot.networks.contains { $0.id == AutoencoderDecoder.description.id }
    }
    guard let place else {
      throw ModelFileError(
        path: path, kind: .unsupported,
        fault: "\(sources.family.modelPhrase) has no autoencoder that encodes pictures")
    }
    return try openLatentEncoder(
      try PartSource(place, of: sources.family, path: path, hints: hints, in: self))
  }

  /// Opens a denoiser by itself.
  ///
  /// - Parameters:
  ///   - path: a file, or the denoiser's folder.
  ///   - adapters: what is added to its weights.
  /// - Returns: the denoiser.
  /// - Throws: `ModelFileError` if the file holds none, or one that cannot be run.
  package func denoiser(
    at path: String, adapters: [AdapterPath] = []
  ) throws(ModelFileError) -> any Denoiser {
    let source = try PartSource(denoiserAt: path, adapters: adapters, in: self)
    return try Self.opener(of: source.family, path).openDenoiser(source)
  }

  /// Opens the denoiser of a model.
  ///
  /// - Parameters:
  ///   - paths: where it is.
  ///   - hints: facts that neither tensors nor files tell.
  /// - Returns: the denoiser.
  /// - Throws: `ModelFileError` naming the first faulty file.
  package func denoiser(
    _ paths: ModelPaths, hints: ArchitectureHints
  ) throws(ModelFileError) -> any Denoiser {
    let sources = try PartSources(paths, hints: hints, in: self) {
      (family) throws(ModelFileError) in [family.denoiser]
    }
    guard let source = sources.parts.first else {
      throw ModelFileError(
        path: paths.model ?? "model", kind: .unsupported, fault: "has no denoiser")
    }
    return try Self.opener(of: source.family, sources.files.first).openDenoiser(source)
  }

  /// Opens a decoder of latents by itself.
  ///
  /// - Parameter path: its file or folder.
  /// - Returns: the decoder.
  /// - Throws: `ModelFileError` if the file holds none.
  package func latentCodec(at path: String) throws(ModelFileError) -> any LatentCodec {
    try openLatentCodec(PartSource(decoderAt: path, in: self))
  }

  /// The family that a description is of.
  private static func opener(
    of description: FamilyDescription, _ path: String?
  ) throws(ModelFileError) -> any ModelFamily.Type {
    for family in [KnownFamilies.first] + KnownFamilies.others
    where family.family.name == description.name { return family }
    throw ModelFileError(
      path: path ?? "model", kind: .unsupported,
      fault: "is \(description.modelPhrase), which cannot be run")
  }
}
