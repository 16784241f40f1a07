import Checkpoints
import Foundation

/// Opens a fixture component (configuration, seeded weights, golden values) as a user's folder.
package struct ComponentFixture {
  package let folder: TemporaryFolder
  package let source: PartSource
  package let golden: Golden

  package init(_ part: Slot, _ name: String) throws {
    folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      atPath: Fixtures.path("\(name)/config.json"), toPath: folder.path("config.json"))
    try SeededWeights.write("\(name)/weights.json", to: folder.path("model.safetensors"))
    source = try PartSource(part, path: folder.path)
    golden = try Golden("\(name)/golden.safetensors")
  }

  /// Names of the golden runs, `run0`, `run1`, ...
  package var runs: [String] {
    Set(golden.names.compactMap { $0.split(separator: ".").first.map(String.init) })
      .filter { $0.hasPrefix("run") }.sorted()
  }
}

/// Bound on the error of a float32 network against its float32 reference, relative to the largest
/// value.
///
/// Rounding differs in order only: both carry a relative error of about √(width · layers) units of
/// 2^-24, and widths here are below 256 with fewer than 20 sums on end (√(256 · 20) · 2^-24 ≈
/// 4e-6); normalizations of small differences may raise it by one order.
package let networkTolerance: Float = 4e-5
