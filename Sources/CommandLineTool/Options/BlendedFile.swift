import ArgumentParser

/// `FILE:T`: a file, and how far a picture goes towards it.
struct BlendedFile {
  let path: String
  /// From 0 to 1.
  let share: Double

  init(path: String, share: Double) {
    self.path = path
    self.share = share
  }

  /// Takes what stands behind the last colon for the share.
  ///
  /// - Throws: `ValidationError` if there is no share of 0 to 1, or no file before it.
  init(argument: String) throws(ValidationError) {
    guard let colon = argument.lastIndex(of: ":"), colon != argument.startIndex,
      let share = Double(argument[argument.index(after: colon)...]), share >= 0, share <= 1
    else {
      throw ValidationError(
        "expected a file and how far to go towards it, from 0 to 1, such as other.safetensors:0.5")
    }
    self.init(path: String(argument[..<colon]), share: share)
  }
}
