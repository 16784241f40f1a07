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
    /// Tensors that no part of an AuraFlow model has, as indices.
    package let foreign: [Int]
  }

  package let path: String
  /// How the model is laid out, in words.
  package let layout: String
  /// The architecture by metadata, else by the recognized parts; nil if neither tells.
  package let architecture: String?
  package let contents: [Contents]
  package let parts: [FoundPart]
  /// The file that describes the tokenizer; nil if there is none.
  package let tokenizer: String?
  /// What a run would need and this path does not have.
  package let missing: [String]
  /// Whether `generate --model` opens the path as a whole: a file, or a pipeline's folder.
  package let isPipeline: Bool
  /// Whether it is such a folder.
  package var isPipelineFolder: Bool { isPipeline && ModelFolder.isFolder(path) }

  /// Opens and checks everything at a path.
  ///
  /// - Throws: `ModelFileError` for the first malformed file, or if a folder holds nothing of a model.
  package init(path: String) throws(ModelFileError) {
    self.path = path
    let archives: [TensorArchive]
    var tokenizer: String?
    if ModelFolder.isFolder(path) {
      archives = try Self.archives(in: path)
      let index = try ConfigurationFile.ifPresent(ModelFolder.join(path, "model_index.json"))
      layout = index == nil ? "folder" : "diffusers folder"
      isPipeline = index != nil
      architecture = index?.json["_class_name"]?.stringValue
      tokenizer = try Self.checkFolder(path)
      guard !archives.isEmpty || tokenizer != nil else { throw ModelFolder.noWeights(in: path) }
    } else {
      let archive = try TensorArchive(path: path)
      archives = [archive]
      layout = archive.format.rawValue
      isPipeline = true
      let stated = archive.gguf?.value(for: "general.architecture")
      architecture = (stated?.stringLength ?? 0) <= 256 ? stated?.string : nil
    }
    for archive in archives {
      let carried = try TokenizerSource.inArchive(archive)?.path
      tokenizer = tokenizer ?? carried
    }
    self.tokenizer = tokenizer
    var parts: [FoundPart] = []
    contents = archives.map { archive in
      var owners = [ModelPart?](repeating: nil, count: archive.tensors.records.count)
      let places = ComponentLocator.locate(in: archive.tensors)
      for place in places {
        parts.append(
          FoundPart(
            part: place.part, path: archive.path, scheme: place.table.scheme,
            prefix: place.prefix))
        for index in ComponentWeights(archive, at: place).claimed { owners[index] = place.part }
      }
      return Contents(
        archive: archive, parts: owners,
        foreign: Array(ForeignTensors.all(in: archive, besides: places)))
    }
    self.parts = parts
    let found = Set(parts.map(\.part))
    missing =
      ModelPart.allCases.filter { !found.contains($0) }.map(\.rawValue)
      + (tokenizer == nil ? ["tokenizer"] : [])
  }

  /// The weights of a folder: of the component folders in it, and its own files unless it is a
  /// pipeline's, which uses the former only.
  private static func archives(in path: String) throws(ModelFileError) -> [TensorArchive] {
    let inner = ["transformer", "text_encoder", "vae"].map { ModelFolder.join(path, $0) }
      .filter(ModelFolder.isFolder)
    var archives: [TensorArchive] = []
    for folder in inner {
      if let known = ModelFolder.knownWeights(in: folder) {
        archives.append(try TensorArchive(path: known))
      } else {
        archives += try ownArchives(of: folder)
      }
    }
    let isPipeline = !inner.isEmpty && ModelFolder.has("model_index.json", in: path)
    return isPipeline ? archives : archives + (try ownArchives(of: path))
  }

  /// Every model file of a folder, shards by their index.
  private static func ownArchives(of folder: String) throws(ModelFileError) -> [TensorArchive] {
    var archives: [TensorArchive] = []
    var shards: Set<String> = []
    for file in ModelFolder.modelFiles(in: folder) where !shards.contains(file) {
      let archive = try TensorArchive(path: file)
      if archive.format == .shardedSafetensors { shards.formUnion(archive.files.map(\.path)) }
      archives.append(archive)
    }
    return archives
  }

  /// Parses the small files of a folder; returns the path of its tokenizer.
  private static func checkFolder(_ path: String) throws(ModelFileError) -> String? {
    for name in [
      "config.json", "transformer/config.json", "text_encoder/config.json", "vae/config.json",
      "scheduler/scheduler_config.json",
    ] {
      _ = try ConfigurationFile.ifPresent(ModelFolder.join(path, name))
    }
    for folder in [ModelFolder.join(path, "tokenizer"), path] {
      if let source = try TokenizerSource.inFolder(folder, className: nil) { return source.path }
    }
    return nil
  }
}
