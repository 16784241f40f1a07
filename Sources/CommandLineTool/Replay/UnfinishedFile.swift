import Foundation
import ModelFiles
import TextToImage

/// Pictures between two steps in a safetensors file, each by the fingerprint of its metadata:
/// tensors `N.latents` and `N.history.M`, and texts `N.picture`, `N.step` and `N.noise_count`.
struct UnfinishedFile {
  /// What the file is, among its texts.
  private static let format = (key: "format", value: "auraflow unfinished pictures 1")
  /// More pictures than ever go through the steps together.
  private static let maximumCount = 1024

  /// By the fingerprint of the picture's metadata.
  var pictures: [String: UnfinishedPicture] = [:]

  /// Where the unfinished pictures of a run are kept: beside the first picture.
  ///
  /// - Parameter picture: the file of the first picture.
  /// - Returns: nil if that is standard output or another device.
  static func path(besides picture: String) -> String? {
    OutputOptions.isDevice(picture) ? nil : picture + ".unfinished"
  }

  /// Nothing yet.
  init() {}

  /// Reads a file. What is wrong with a picture's values is found when it is gone on with.
  ///
  /// - Throws: `ModelFileError` if it cannot be read or is not such a file.
  init(path: String) throws(ModelFileError) {
    let archive = try TensorArchive(path: path)
    let texts = Dictionary(archive.safetensorsMetadata.map { ($0.key, $0.value) }) { $1 }
    func fault(_ text: String) -> ModelFileError {
      ModelFileError(path: path, kind: .malformed, fault: "holds no unfinished pictures: \(text)")
    }
    guard texts[Self.format.key] == Self.format.value else {
      throw fault("it does not say '\(Self.format.value)'")
    }
    func values(_ name: String) throws(ModelFileError) -> [Float]? {
      guard let index = archive.tensors.index(of: name) else { return nil }
      guard archive.tensors.records[index].type == .f32 else { throw fault("\(name) is not F32") }
      return try archive.values(of: index)
    }
    for number in 0..<Self.maximumCount {
      guard let picture = texts["\(number).picture"] else { break }
      guard let step = texts["\(number).step"].flatMap({ Int($0) }),
        let noiseCount = texts["\(number).noise_count"].flatMap({ Int($0) }),
        let latents = try values("\(number).latents")
      else { throw fault("picture \(number) lacks its step, drawings of noise or latents") }
      var history: [[Float]] = []
      while let next = try values("\(number).history.\(history.count)") { history.append(next) }
      pictures[picture] = UnfinishedPicture(
        step: step, latents: latents, history: history, noiseCount: noiseCount)
    }
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
