import BlockFormats
import Checkpoints
import ModelFiles

/// Where tensors go: the files of each container, and the names and shapes that tensors have in them.
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
        metadata: try source.metadata(request.mix), tensors: declarations, storesHashes: true,
        path: path)
    case .safetensors:
      layout = try SafetensorsWriter.layout(
        declarations, metadata: [("format", "pt")], storesHashes: true, path: path)
    case .folder:
      return try folderFiles(tensors, source, request.mix.base, path: path)
    }
    return ([File(name: "", layout: layout, tensorCount: tensors.count)], [])
  }

  /// The files of a diffusers folder: each part's in its own, with an index where there are several.
  private static func folderFiles(
    _ tensors: [Tensor], _ source: ConversionSource, _ type: ElementType, path: String
  ) throws -> (files: [File], texts: [(name: String, bytes: [UInt8])]) {
    var texts = try FolderDescriptions(source: source, type: type).files()
    var files: [File] = []
    for part in source.selection.parts {
      let folder = source.selection == .all ? part.folderName + "/" : ""
      let shards = SafetensorsShards(
        tensors.filter { $0.source.part == part }.map(\.declaration), stem: part.weightsStem)
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

  // MARK: Names and shapes

  /// The name in a GGUF file, which rules are about.
  static func canonicalName(of tensor: PartTensor, _ selection: PartSelection) -> String {
    selection == .all && tensor.part == .autoencoder ? "vae." + tensor.name : tensor.name
  }

  /// The name in the new file. Safetensors files have the names and prefixes that ComfyUI expects
  /// of whole checkpoints and of single parts.
  static func name(
    of tensor: PartTensor, in container: Container, _ selection: PartSelection, levels: Int
  ) -> String {
    if container == .folder {
      return tensor.part.folderName(of: tensor.name, levels: levels) ?? tensor.name
    }
    guard container == .safetensors else { return canonicalName(of: tensor, selection) }
    let isWhole = selection == .all
    switch tensor.part {
    case .transformer: return (isWhole ? "model." : "") + tensor.name
    case .textEncoder:
      return (isWhole ? "text_encoders.pile_t5xl.transformer." : "")
        + (ModelPart.textEncoder.folderName(of: tensor.name) ?? tensor.name)
    case .autoencoder: return canonicalName(of: tensor, selection)
    }
  }

  /// The tensor with its rows in the order of the new file.
  static func ordered(_ tensor: PartTensor, for container: Container) -> PartTensor {
    // diffusers stores scale before shift in the final modulation, the original shift first.
    container == .folder && tensor.part == .transformer && tensor.name == "modF.1.weight"
      ? tensor.halvesSwapped : tensor
  }

  /// The shape that readers expect, however the input has it.
  static func shape(of tensor: PartTensor, in container: Container = .gguf) -> [Int] {
    switch tensor.part {
    case .autoencoder where container == .folder && tensor.name.contains(".mid.attn_1."):
      // Matrices in diffusers.
      return tensor.shape.count == 4 ? Array(tensor.shape.prefix(2)) : tensor.shape
    case .transformer
    where tensor.name == "positional_encoding" || tensor.name == "register_tokens":
      let inner = Array(tensor.shape.drop { $0 == 1 })
      return inner.count == 2 ? [1] + inner : tensor.shape
    case .autoencoder where tensor.shape.count == 2 && tensor.name.contains(".mid.attn_1."):
      // 1x1 convolutions in the original, matrices in diffusers.
      return tensor.shape + [1, 1]
    default: return tensor.shape
    }
  }
}
