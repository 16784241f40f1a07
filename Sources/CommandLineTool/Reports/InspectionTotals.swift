import Checkpoints
import ModelFiles
import StrictJSON

/// Tensors and bytes of one type or part.
struct Total {
  let name: String
  var tensors = 0
  var elements = 0
  var bytes = 0

  /// Sums up tensors by a label, in order of first appearance.
  static func sums(
    _ contents: [ArchiveContents], by label: (TensorRecord, Slot?) -> String
  ) -> [Total] {
    var totals: [Total] = []
    var indexByName: [String: Int] = [:]
    for content in contents {
      for (record, part) in zip(content.archive.tensors.records, content.parts) {
        let name = label(record, part)
        let index = indexByName[name] ?? totals.count
        if index == totals.count {
          indexByName[name] = index
          totals.append(Total(name: name))
        }
        totals[index].tensors += 1
        totals[index].elements = totals[index].elements &+ record.elementCount
        totals[index].bytes = totals[index].bytes &+ record.byteCount
      }
    }
    return totals
  }

  static func byType(_ contents: [ArchiveContents]) -> [Total] {
    sums(contents) { record, _ in record.type.name }
  }

  static func byPart(_ contents: [ArchiveContents]) -> [Total] {
    sums(contents) { _, part in part?.name ?? "other" }
  }

  var json: JSONValue {
    [
      "name": .string(name), "tensors": .integer(tensors), "elements": .integer(elements),
      "bytes": .integer(bytes),
    ]
  }
}
