/// An adapter that is applied to a model's weights, and how strongly.
public struct AdapterPath: Sendable, Equatable {
  /// The file, or a folder with one as PEFT and diffusers save it.
  public var path: String
  /// What the adapter's own strength is multiplied by: 0 for no effect, negative for the opposite.
  public var strength: Double

  /// Names an adapter.
  public init(path: String, strength: Double = 1) {
    self.path = path
    self.strength = strength
  }
}
