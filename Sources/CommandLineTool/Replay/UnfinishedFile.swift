import Foundation
import ModelFiles
import TextToImage

/// Pictures between two steps, each by the fingerprint of its metadata, as bytes of a safetensors
/// file: tensors `N.latents` and `N.history.M`, and texts `N.picture`, `N.step` and
/// `N.noise_count`.
struct UnfinishedFile {
  /// What the file is, among its texts.
  fileprivate static let format = (key: "format", value: "auraflow unfinished pictures 1")

  /// By the fingerprint of the picture's metadata.
  var pictures: [String: UnfinishedPicture] = [:]

  /// Where the unfinished pictures of a run are kept: beside the first picture.
  ///
  /// - Parameter picture: the file of the first picture.
  /// - Returns: nil if that is standard output or another device.
  static func path(besides picture: String) -> String? {
    OutputOptions.isDevice(picture) ? nil : picture + ".unfinished"
  }

  /// The bytes of the file.
  var bytes: [UInt8] {
    var tensors: [SafetensorsWriter.FloatTensor] = []
    var texts = [Self.format]
    for (number, (picture, state)) in pictures.sorted(by: { $0.key < $1.key }).enumerated() {
      func tensor(_ name: String, _ values: [Float]) -> SafetensorsWriter.FloatTensor {
        .init(name: "\(number).\(name)", shape: [values.count], values: values)
      }
      tensors.append(tensor("latents", state.latents))
      for (index, values) in state.history.enumerated() {
        tensors.append(tensor("history.\(index)", values))
      }
      texts += [
        ("\(number).picture", picture), ("\(number).step", "\(state.step)"),
        ("\(number).noise_count", "\(state.noiseCount)"),
      ]
    }
    return SafetensorsWriter.encode(tensors, metadata: texts)
  }
}

/// A file of unfinished pictures that is read: of its tensors only those that are asked for.
struct UnfinishedArchive {
  private let archive: TensorArchive
  private let texts: [String: String]
  /// The pictures' numbers in the file, by the fingerprints of their metadata.
  private let numbers: [String: Int]

  /// The fingerprints of the pictures' metadata.
  var fingerprints: Set<String> { Set(numbers.keys) }

  /// - Throws: `ModelFileError` if the file cannot be read or is not one of unfinished pictures.
  init(path: String) throws(ModelFileError) {
    do throws(ModelFileError) {
      archive = try TensorArchive(path: path)
    } catch {
      guard error.kind == .malformed || error.kind == .unsupported else { throw error }
      throw Self.fault(path, "it is damaged, or something else")
    }
    texts = Dictionary(archive.safetensorsMetadata.map { ($0.key, $0.value) }) { $1 }
    guard texts[UnfinishedFile.format.key] == UnfinishedFile.format.value else {
      throw Self.fault(path, "it does not say '\(UnfinishedFile.format.value)'")
    }
    var numbers: [String: Int] = [:]
    while let picture = texts["\(numbers.count).picture"], numbers[picture] == nil {
      numbers[picture] = numbers.count
    }
    guard !numbers.isEmpty else { throw Self.fault(path, "it names none") }
    self.numbers = numbers
  }

  /// What was kept of a picture.
  ///
  /// - Parameters:
  ///   - fingerprint: of its metadata.
  ///   - settings: of its request.
  ///   - count: values of its latents.
  /// - Returns: nil if it is not in the file.
  /// - Throws: `ModelFileError` for what no run can have left.
  func picture(
    _ fingerprint: String, _ settings: GenerationSettings, latentCount count: Int
  ) throws(ModelFileError) -> UnfinishedPicture? {
    guard let number = numbers[fingerprint] else { return nil }
    guard let step = texts["\(number).step"].flatMap({ Int($0) }),
      (1...settings.steps).contains(step),
      let noiseCount = texts["\(number).noise_count"].flatMap({ Int($0) }),
      (0...step).contains(noiseCount)
    else { throw Self.fault(archive.path, "picture \(number) lacks its step or drawings of noise") }
    var history: [[Float]] = []
    for index in 0..<settings.sampler.historyCount(after: step) {
      history.append(try values("\(number).history.\(index)", count))
    }
    return UnfinishedPicture(
      step: step, latents: try values("\(number).latents", count), history: history,
      noiseCount: noiseCount)
  }

  private func values(_ name: String, _ count: Int) throws(ModelFileError) -> [Float] {
    guard let index = archive.tensors.index(of: name),
      archive.tensors.records[index].type == .f32,
      archive.tensors.records[index].elementCount == count
    else { throw Self.fault(archive.path, "there are no \(count) F32 values named '\(name)'") }
    let values = try archive.values(of: index)
    guard values.allSatisfy(\.isFinite) else {
      throw Self.fault(archive.path, "'\(name)' holds NaN or infinite values")
    }
    return values
  }

  private static func fault(_ path: String, _ text: String) -> ModelFileError {
    ModelFileError(
      path: path, kind: .malformed,
      fault: "holds no unfinished pictures that can be gone on with: \(text); begin again with "
        + "--force")
  }
}
