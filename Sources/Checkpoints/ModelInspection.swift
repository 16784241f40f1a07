import Foundation
import ModelFiles

/// What a file, an index or a folder holds, whether or not it can be run.
package struct ModelInspection {
  /// A part of a model that was recognized.
  package struct FoundPart {
    package let part: ModelPart
    package let path: String
    package let scheme: String
    package let prefix: String
  }

  /// One opened archive with the part that each of its tensors belongs to.
  package struct Contents {
    package let archive: TensorArchive
    package let parts: [ModelPart?]
  }

  package let path: String
  /// How the model is laid out, in words.
  package let layout: String
  /// The architecture by metadata, else by the recognized parts; nil if neither tells.
  package let architecture: String?
  package let contents: [Contents]
  package let parts: [FoundPart]
  /// What a run would need and this path does not have.
  package let missing: [String]

  /// Opens and checks everything at a path.
  ///
  /// - Throws: `ModelFileError` for the first malformed file.
  package init(path: String) throws(ModelFileError) {
    self.path = path
    var archives: [TensorArchive] = []
    var hasTokenizer = false
    if ModelFolder.isFolder(path) {
      for file in try Self.weightFiles(in: path) { archives.append(try TensorArchive(path: file)) }
      let index = try ConfigurationFile.ifPresent(ModelFolder.join(path, "model_index.json"))
      layout = index == nil ? "folder" : "diffusers folder"
      hasTokenizer = try Self.checkFolder(path)
      for archive in archives where try TokenizerSource.inArchive(archive) != nil {
        hasTokenizer = true
      }
      architecture = index?.json["_class_name"]?.stringValue
    } else {
      let archive = try TensorArchive(path: path)
      archives = [archive]
      layout = archive.format.rawValue
      hasTokenizer = try TokenizerSource.inArchive(archive) != nil
      let stated = archive.gguf?.value(for: "general.architecture")
      architecture = (stated?.stringLength ?? 0) <= 256 ? stated?.string : nil
    }
    var parts: [FoundPart] = []
    contents = archives.map { archive in
      var owners = [ModelPart?](repeating: nil, count: archive.tensors.records.count)
      for place in ComponentLocator.locate(in: archive.tensors) {
        parts.append(
          FoundPart(
            part: place.part, path: archive.path, scheme: place.table.scheme,
            prefix: place.prefix))
        for index in ComponentWeights(archive, at: place).claimed { owners[index] = place.part }
      }
      return Contents(archive: archive, parts: owners)
    }
    self.parts = parts
    let found = Set(parts.map(\.part))
    missing =
      ModelPart.allCases.filter { !found.contains($0) }.map(\.rawValue)
      + (hasTokenizer ? [] : ["tokenizer"])
  }

  /// The weight files of a folder and of the component folders in it.
  private static func weightFiles(in path: String) throws(ModelFileError) -> [String] {
    let inner = ["transformer", "text_encoder", "vae"].map { ModelFolder.join(path, $0) }
      .filter(ModelFolder.isFolder)
    var files: [String] = []
    for folder in inner.isEmpty ? [path] : inner {
      files.append(try ModelFolder.weights(in: folder))
    }
    return files
  }

  /// Parses the small files of a folder; returns whether there is a tokenizer.
  private static func checkFolder(_ path: String) throws(ModelFileError) -> Bool {
    for name in [
      "config.json", "transformer/config.json", "text_encoder/config.json", "vae/config.json",
      "scheduler/scheduler_config.json",
    ] {
      _ = try ConfigurationFile.ifPresent(ModelFolder.join(path, name))
    }
    for folder in [ModelFolder.join(path, "tokenizer"), path]
    where try TokenizerSource.inFolder(folder, className: nil) != nil {
      return true
    }
    return false
  }
}
