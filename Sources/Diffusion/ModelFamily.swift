import Checkpoints
import ModelFiles

/// How a kind of model is put together: what is known of it as data, and how it is opened.
package protocol ModelFamily {
  /// Names, roles, settings, defaults.
  static var family: FamilyDescription { get }

  /// Opens all parts and checks that they belong to one model.
  ///
  /// - Parameters:
  ///   - sources: the parts where they were found.
  ///   - trainTimesteps: timesteps in training, as the model's files or the family have it.
  /// - Returns: the model.
  /// - Throws: `ModelFileError` naming the first faulty file.
  static func open(
    _ sources: ModelSources, trainTimesteps: Int
  ) throws(ModelFileError) -> any DiffusionModel

  /// Opens a denoiser by itself.
  ///
  /// - Throws: `ModelFileError` for the first tensor that is missing, misshapen or superfluous.
  static func openDenoiser(_ source: PartSource) throws(ModelFileError) -> any Denoiser
}
