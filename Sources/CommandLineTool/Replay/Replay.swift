import Foundation
import ModelFiles
import TextToImage

/// Making a picture again from what its file says.
extension RecordedPicture {
  /// Whether files that an option names took part.
  func inputs(_ option: String) -> Bool { inputs.contains { $0.option == option } }

  /// The file of an input: the one that was named, else the one beside the picture.
  ///
  /// - Parameters:
  ///   - option: the option that names it.
  ///   - given: what was named now.
  /// - Returns: nil if the picture has no such input, and nothing was named.
  /// - Throws: `ModelFileError` if it is not there, or is another one.
  func inputs(_ option: String, given: [String]) throws(ModelFileError) -> [String] {
    let recorded = inputs.filter { $0.option == option }
    guard !recorded.isEmpty else { return given }
    let folder = (path as NSString).deletingLastPathComponent
    var paths: [String] = []
    for (index, input) in recorded.enumerated() {
      // Names come from a stranger's file: none may lead out of the folder.
      let name = (input.name as NSString).lastPathComponent
      guard !["", ".", "..", "/"].contains(name) else {
        throw fault("a file that took part is named '\(input.name)'")
      }
      let place =
        index < given.count
        ? given[index]
        : folder.isEmpty ? name : FileSystem.join(folder, name)
      guard let found = FileFingerprint.of(place) else {
        throw ModelFileError(
          path: place, kind: .notFound,
          fault: "took part in \(path) and is not there: name it with --\(option)")
      }
      guard found == input.fingerprint else {
        throw ModelFileError(
          path: place, kind: .malformed,
          fault: "is another file than the '\(name)' that took part in \(path): name the right one "
            + "with --\(option)")
      }
      paths.append(place)
    }
    return paths
  }

  /// What the same picture needs and cannot be had from its file.
  ///
  /// - Parameters:
  ///   - pipeline: the model that is used now.
  ///   - present: fingerprints of its files.
  /// - Returns: one line each.
  func notes(_ pipeline: Pipeline, present: Set<String>) -> [String] {
    var notes: [String] = []
    if !ignored.isEmpty {
      notes.append("\(path): not repeated: \(ignored.joined(separator: ", "))")
    }
    let others = modelFiles.filter { !present.contains($0.fingerprint) }
    if let first = others.first {
      notes.append(
        "\(path) was made with other model files (\(first.name)"
          + (others.count > 1 ? " and \(others.count - 1) more" : "")
          + "): the picture will be another one")
    }
    if let activations, activations != pipeline.activations.rawValue {
      notes.append(
        "\(path) was made with --activations \(activations): pass it for the same picture")
    }
    return notes
  }

  /// The request with the shift that was asked for, if it is not what the model does by itself.
  func settled(_ request: GenerationRequest, _ pipeline: Pipeline) -> GenerationRequest {
    var recorded = self.request
    // Without text encoders there has to be something instead of texts.
    recorded.embeds = request.embeds
    recorded.embedsBlend = request.embedsBlend
    recorded.maxSequenceLength = request.maxSequenceLength
    guard let shift, let own = try? pipeline.settings(for: recorded), own.shift != shift
    else { return request }
    var request = request
    request.shift = request.shift ?? shift
    return request
  }
}

/// Fingerprints of a model's weights.
enum ModelFingerprints {
  /// Those of all files that hold weights, by name without folders.
  static func of(_ pipeline: Pipeline) -> [(name: String, fingerprint: String)] {
    pipeline.files.compactMap { path in
      guard !path.lowercased().hasSuffix(".json"), let hash = FileFingerprint.of(path) else {
        return nil
      }
      return ((path as NSString).lastPathComponent, hash)
    }
  }
}
