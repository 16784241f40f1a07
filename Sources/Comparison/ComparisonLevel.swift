import ComputeCPU
import Conversion
import ModelCatalog
import Foundation
import ModelFiles
import TextToImage

/// Weights to compare, and how they are computed with.
package struct ComparisonLevel: Sendable {
  /// What the level is compared as.
  package enum Kind: Sendable, Equatable {
    /// What all others are measured against.
    case reference
    /// The reference's weights with arithmetic that ought to make no difference.
    case noiseFloor
    /// Other weights.
    case level
  }

  /// How it is called in tables; also the name of its folder of pictures.
  package let name: String
  package let kind: Kind
  package let paths: ModelPaths
  package let hints: ArchitectureHints
  package let activations: ActivationPrecision

  /// Describes a level.
  package init(
    name: String, kind: Kind, paths: ModelPaths, hints: ArchitectureHints = ArchitectureHints(),
    activations: ActivationPrecision = .auto
  ) {
    self.name = name
    self.kind = kind
    self.paths = paths
    self.hints = hints
    self.activations = activations
  }

  /// The level's tensors, opened and checked.
  ///
  /// - Throws: `ModelFileError` naming the first fault.
  package func weights() throws -> ConversionSource {
    try ConversionSource(.all, paths: paths, hints: hints, in: .known)
  }
}
