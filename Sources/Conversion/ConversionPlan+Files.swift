import BlockFormats
import Checkpoints
import ModelFiles

/// Where tensors go: the files of each container, and the names that tensors have in them.
extension ConversionPlan {
  // MARK: Files

  static func files(
    _ tensors: [Tensor], _ source: ConversionSource, _ request: Request, path: String
  ) throws -> (files: [File], texts: [(name: String, bytes: [UInt8])]) {
    let declarations = tensors.map(\.declaration)
    let layout: TensorFileLayout
    switch request.container {
    case .gguf:
      layout = try GGUFWriter.layout(
        metadata: try source.metadata(request.mix)
          + (request.calibration.map { [("auraflow.calibration", .string($0))] } ?? [])
          + TensorErrors.metadata(tensors.map { request.errors[$0.source.name] }),
        tensors: declarations, storesHashes: true,
        path: path)
    case .safetensors:
      layout = try SafetensorsWriter.layout(
        declarations, metadata: [("format", "pt")], storesHashes: true, path: path)
    case .folder:
      return try folderFiles(tensors, source, request.mix.base, path: path)
    }
    return ([File(name: "", layout: layout, tensorCount: tensors.count)], [])
  }

  /// The files of a diffusers folder: each part's in its own, with an index where there are
  /// several.
  private static func folderFiles(
    _ tensors: [Tensor], _ source: ConversionSource, _ type: ElementType, path: String
  ) throws -> (files: [File], texts: [(name: String, bytes: [UInt8])]) {
    var texts = try FolderDescriptions(source: source, type: type).files()
    var files: [File] = []
    for part in source.parts {
      let folder = source.selection == .all ? part.slot.key + "/" : ""
      let shards = SafetensorsShards(
        tensors.filter { $0.source.part == part.slot }.map(\.declaration),
        stem: part.network.library.weightsStem)
      for shard in shards.shards {
        let layout = try SafetensorsWriter.layout(
          shard.tensors, metadata: [("format", "pt")], storesHashes: true, path: path)
        files.append(
          File(
            name: folder + shard.fileName, layout: layout, tensorCount: shard.tensors.count))
      }
      if let name = shards.indexName {
        texts.append((folder + name, Array(shards.index.text(indentation: 2).utf8)))
      }
    }
    return (files, texts)
  }

  // MARK: Names

  /// The name in a GGUF file, which rules are about.
  static func canonicalName(of tensor: PartTensor, _ source: ConversionSource) -> String {
    (source.selection == .all ? tensor.part.ggufPrefix : "") + tensor.name
  }

  /// The tensors that one becomes in the new file, with their rows in the order of that file, and
  /// their names there. Safetensors files have the names and prefixes that ComfyUI expects of whole
  /// checkpoints and of single parts.
  ///
  /// - Throws: `ModelFileError` if its rows cannot be divided as the file has them.
  static func placed(
    _ tensor: PartTensor, in container: Container, _ source: ConversionSource
  ) throws(ModelFileError) -> [(tensor: PartTensor, name: String)] {
    var prefix = ""
    if container == .safetensors {
      prefix = source.selection == .all ? tensor.part.singleFilePrefix : ""
    }
    switch container {
    case .gguf: return [(tensor, canonicalName(of: tensor, source))]
    case .safetensors where !tensor.part.keepsFolderNames: return [(tensor, prefix + tensor.name)]
    case .folder, .safetensors:
      return try source.namesInFolder(of: tensor).map { name, rowOrder throws(ModelFileError) in
        (try tensor.stored(rowOrder), prefix + name)
      }
    }
  }
}
