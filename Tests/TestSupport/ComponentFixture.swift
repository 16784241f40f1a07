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
