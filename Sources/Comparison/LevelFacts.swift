import BlockFormats
import Checkpoints
import Conversion
import Foundation
import Machine
import ModelFiles
import StrictJSON

/// What is known of a level's weights without running them.
package struct LevelFacts: Sendable {
  /// Bytes of the model's files.
  package let bytes: Int
  /// Bits of an element, all tensors taken together.
  package let bitsPerWeight: Double
  /// Every tensor beside the reference's, in the model's order.
  package let differences: [WeightDifference]

  /// Reads and compares the weights of a level, unless an earlier run did.
  ///
  /// - Parameters:
  ///   - level: the level.
  ///   - reference: what it is compared with.
  ///   - origin: the reference's tensors.
  ///   - store: where results are kept.
  ///   - pool: threads to work on; cancelling it ends the work.
  ///   - onBytes: told of bytes that are done and of all.
  /// - Throws: `ModelFileError` for models of different architectures or files that cannot be read,
  ///   `ComputeError` if cancelled.
  package init(
    _ level: ComparisonLevel, reference: ComparisonLevel, _ origin: ConversionSource,
    _ store: ComparisonStore, on pool: ThreadPool, onBytes: (_ done: Int, _ total: Int) -> Void
  ) throws {
    let model = try level.weights()
    bytes = Set(model.files).reduce(0) { $0 + FileIdentity.byteCount(of: $1) }
    let elements = model.tensors.reduce(0) { $0 + $1.elementCount }
    bitsPerWeight =
      Double(8 * model.tensors.reduce(0) { $0 + $1.byteCount }) / Double(max(1, elements))
    guard model.files != origin.files else {
      differences = model.tensors.map { WeightDifference(same: $0) }
      return
    }
    let key = XXHash64.name(
      of: "\(ComparisonStore.version) weights \(FileIdentity.text(of: origin.files)) "
        + "\(reference.hints) \(FileIdentity.text(of: model.files)) \(level.hints)")
    let name = "cache/weights/\(key).json"
    if let kept = store.json(name)?.arrayValue?.compactMap({ WeightDifference($0) }),
      kept.count == model.tensors.count
    {
      differences = kept
      return
    }
    differences = try WeightComparison(on: pool).differences(model, origin, onBytes: onBytes)
    try store.write(JSONValue.array(differences.map(\.json)).text(), to: name)
  }

  /// The tensors that are farthest from the reference.
  package func worst(_ count: Int) -> [WeightDifference] {
    Array(differences.sorted { $0.relativeError > $1.relativeError }.prefix(count))
  }

  /// The relative error of a weight: root of the mean over elements of their tensors' squared
  /// errors.
  package var relativeError: Double {
    let count = differences.reduce(0) { $0 + $1.elementCount }
    let sum = differences.reduce(0) {
      $0 + Double($1.elementCount) * $1.relativeError * $1.relativeError
    }
    return (sum / Double(max(1, count))).squareRoot()
  }

}

extension WeightDifference {
  var json: JSONValue {
    [
      "name": .string(name), "type": .string(type.name), "elements": .integer(elementCount),
      "relativeError": .finite(relativeError), "cosine": .finite(cosine),
    ]
  }

  fileprivate init?(_ json: JSONValue) {
    guard let name = json["name"]?.stringValue, let type = json["type"]?.stringValue,
      let element = ElementType.allCases.first(where: { $0.name == type }),
      let count = json["elements"]?.integerValue, let error = json["relativeError"],
      let cosine = json["cosine"]
    else { return nil }
    self.init(
      name: name, type: element, elementCount: count,
      relativeError: error.doubleValue ?? .infinity, cosine: cosine.doubleValue ?? .nan)
  }
}
