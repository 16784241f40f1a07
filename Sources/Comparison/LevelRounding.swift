import Conversion

/// How the weights of a level that is made from the reference are rounded.
package enum LevelRounding: String, CaseIterable, Sendable {
  /// For the least error of the weights.
  case plain
  /// With an importance matrix.
  case imatrix
  /// With error feedback for what enters each matrix.
  case calibrated
}

/// A level that is made from the reference.
package struct MadeLevel: Sendable, Equatable {
  package let mix: TypeMix
  package let rounding: LevelRounding

  /// A type or mix, rounded somehow.
  package init(_ mix: TypeMix, _ rounding: LevelRounding) {
    self.mix = mix
    self.rounding = rounding
  }
}
