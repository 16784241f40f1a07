import AuraFlowFamily
import Checkpoints
import Foundation
import ModelCatalog

/// Opens a fixture component (configuration, seeded weights, golden values) as a user's folder.
package struct ComponentFixture {
  package let folder: TemporaryFolder
  package let source: PartSource
  package let golden: Golden

  /// - Parameters:
  ///   - part: what the component is.
  ///   - family: the family that it is of.
  ///   - name: its folder among the fixtures.
  /// - Throws: what reading and opening throws.
  package init(
    _ part: Slot, of family: FamilyDescription = AuraFlow.family, _ name: String
  ) throws {
    folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      atPath: Fixtures.path("\(name)/config.json"), toPath: folder.path("config.json"))
    try SeededWeights.write("\(name)/weights.json", to: folder.path("model.safetensors"))
    source = try PartSource(part, of: family, path: folder.path, in: .known)
    golden = try Golden("\(name)/golden.safetensors")
  }

  /// Names of the golden runs, `run0`, `run1`, ...
  package var runs: [String] {
    Set(golden.names.compactMap { $0.split(separator: ".").first.map(String.init) })
      .filter { $0.hasPrefix("run") }.sorted()
  }
}
