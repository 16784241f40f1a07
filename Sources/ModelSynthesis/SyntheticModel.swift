import BlockFormats
import Checkpoints
import Foundation
import Machine
import ModelFiles
import StrictJSON

/// A model of random but well-behaved weights: activations stay in the range of a trained one's and
/// the work is real, only the pictures show nothing.
///
/// The same preset, type and seed give the same bytes with any number of threads.
package struct SyntheticModel: Sendable {
  /// Told of the bytes of weights while a model is written.
  package typealias Progress = (_ writtenBytes: Int, _ allBytes: Int) -> Void

  /// Types of whole folders: diffusers knows no quantized blocks in safetensors.
  package static let folderTypes: [ElementType] = [.f16, .bf16, .f32]

  /// The family that the model is of.
  package let family: FamilyDescription
  /// Its sizes.
  package let preset: ModelPreset
  /// The type of the large matrices.
  package let type: ElementType
  package let seed: UInt64

  private let tensors: [SyntheticTensor]
  private let catalog: FamilyCatalog
  private var descriptions: ModelDescriptions {
    ModelDescriptions(family: family, preset: preset, type: type)
  }

  /// - Parameters:
  ///   - preset: the sizes.
  ///   - family: the family that the model is of.
  ///   - catalog: families whose folders may be replaced.
  ///   - type: one of `RandomRows.types`.
  ///   - seed: of all random weights.
  /// - Throws: `ModelFileError` for a preset whose sizes do not fit together.
  package init(
    _ preset: ModelPreset, of family: FamilyDescription, in catalog: FamilyCatalog,
    type: ElementType, seed: UInt64
  ) throws(ModelFileError) {
    self.family = family
    self.catalog = catalog
    self.preset = preset
    self.type = type
    self.seed = seed
    var tensors: [SyntheticTensor] = []
    for part in preset.parts {
      tensors += try part.requests().map { SyntheticTensor($0, of: part.slot, part.network) }
    }
    self.tensors = tensors
  }

  // MARK: One file

  /// Writes the model as one self-contained GGUF file.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - overwrite: whether an existing file may be replaced.
  ///   - pool: threads to work on; cancelling it ends the work and leaves nothing.
  ///   - progress: told about bytes.
  ///   - onRescue: told if the file had to have another name in the end.
  /// - Returns: bytes of the file.
  /// - Throws: `ModelFileError` if the file cannot be written, `ComputeError` if cancelled.
  package func writeGGUF(
    to path: String, overwrite: Bool, on pool: ThreadPool, progress: @escaping Progress,
    onRescue: (RescuedFile) -> Void = { _ in }
  ) throws -> Int {
    let types = tensors.map { $0.storedType(type, isUniform: false) }
    let layout = try GGUFWriter.layout(
      metadata: descriptions.metadata,
      tensors: zip(tensors, types).map { tensor, type in
        TensorDeclaration(name: Self.ggufName(tensor), type: type, shape: tensor.shape)
      }, storesHashes: true, path: path)
    let writer = try TensorFileWriter(path: path, overwrite: overwrite, layout: layout)
    let contents = TensorContents(
      seed: seed, on: pool, progress: Self.adding(to: layout.contentByteCount, progress))
    for (tensor, type) in zip(tensors, types) {
      try contents.write(tensor, as: type, to: writer)
    }
    try writer.flush()
    try contents.checkCancellation()
    if let rescued = try writer.finishAnywhere() { onRescue(rescued) }
    return layout.byteCount
  }

  private static func ggufName(_ tensor: SyntheticTensor) -> String {
    tensor.part.ggufPrefix + tensor.name
  }

  /// Writes one part alone as a safetensors file under our names.
  ///
  /// - Parameters:
  ///   - part: the part's place.
  ///   - path: the file, which must not exist.
  ///   - pool: threads to work on.
  /// - Throws: `ModelFileError` if the file cannot be written, `ComputeError` if cancelled.
  package func write(_ part: Slot, to path: String, on pool: ThreadPool) throws {
    let tensors = tensors.filter { $0.part == part }
    let types = tensors.map { $0.storedType(type, isUniform: true) }
    let layout = try SafetensorsWriter.layout(
      zip(tensors, types).map { TensorDeclaration(name: $0.name, type: $1, shape: $0.shape) },
      metadata: [], path: path)
    let writer = try TensorFileWriter(path: path, overwrite: false, layout: layout)
    let contents = TensorContents(seed: seed, on: pool) { _ in }
    for (tensor, type) in zip(tensors, types) {
      try contents.write(tensor, as: type, to: writer)
    }
    try writer.finish()
  }

  // MARK: Folder

  /// Writes the model as a diffusers folder.
  ///
  /// - Parameters:
  ///   - path: the folder; its type must be one of `folderTypes`.
  ///   - overwrite: whether a folder that this function made before may be replaced.
  ///   - pool: threads to work on; cancelling it ends the work and leaves nothing.
  ///   - progress: told about bytes.
  ///   - onRescue: told if the folder had to have another name in the end.
  /// - Returns: bytes of all files.
  /// - Throws: `ModelFileError` if the folder cannot be written, `ComputeError` if cancelled.
  package func writeFolder(
    to path: String, overwrite: Bool, on pool: ThreadPool, progress: @escaping Progress,
    onRescue: (RescuedFile) -> Void = { _ in }
  ) throws -> Int {
    let parts = try preset.parts.map { part in
      try FolderPart(part, tensors.filter { $0.part == part.slot }, self, path: path)
    }
    var texts = descriptions.files
    for part in parts {
      if let name = part.shards.indexName {
        texts.append(("\(part.name)/\(name)", ModelDescriptions.text(part.shards.index)))
      }
    }
    let byteCount =
      parts.reduce(0) { $0 + $1.byteCount } + texts.reduce(0) { $0 + $1.text.utf8.count }
    let folder = try AtomicFolder(path: path, byteCount: byteCount) {
      () throws(ModelFileError) in
      try OwnFolder.mayReplace(path, overwrite, catalog)
    }
    let contents = TensorContents(
      seed: seed, on: pool,
      progress: Self.adding(
        to: parts.reduce(0) { $0 + $1.shards.contentByteCount }, progress))
    for part in parts {
      try part.write(to: folder, contents)
    }
    for (name, text) in texts {
      try AtomicFile.write(Array(text.utf8), to: try folder.file(name), overwrite: false)
    }
    try contents.checkCancellation()
    if let rescued = try folder.commit() { onRescue(rescued) }
    return byteCount
  }

  /// Adds up bytes for a progress display.
  private static func adding(
    to total: Int, _ progress: @escaping Progress
  ) -> (_ byteCount: Int) -> Void {
    var written = 0
    return { byteCount in
      written += byteCount
      progress(written, total)
    }
  }
}

extension SyntheticModel {
  /// One part of a folder.
  private struct FolderPart {
    let name: String
    let shards: SafetensorsShards
    private let layouts: [TensorFileLayout]
    /// What each stored tensor has of one of ours.
    private let tensors: [(tensor: SyntheticTensor, rows: [Range<Int>])]
    private let type: ElementType

    init(
      _ part: ModelPreset.Part, _ tensors: [SyntheticTensor], _ model: SyntheticModel, path: String
    ) throws(ModelFileError) {
      name = part.slot.key
      type = model.type
      let levels = part.network.levelCount(of: tensors.map(\.name))
      var stored: [(tensor: SyntheticTensor, rows: [Range<Int>])] = []
      var declarations: [TensorDeclaration] = []
      for tensor in tensors {
        for (name, rowOrder) in part.network.inFolder(tensor.name, levels: levels) {
          guard let rows = rowOrder.rows(of: tensor.rowCount) else {
            throw ModelFileError(
              path: path, kind: .unsupported,
              fault: "tensor '\(tensor.name)' of shape \(tensor.shape) has rows that cannot be "
                + "divided as '\(name)' has them")
          }
          stored.append((tensor, rows))
          declarations.append(
            TensorDeclaration(
              name: name, type: tensor.storedType(model.type, isUniform: true),
              shape: tensor.shape(rows: rows.reduce(0) { $0 + $1.count })))
        }
      }
      self.tensors = stored
      shards = SafetensorsShards(declarations, stem: part.network.library.weightsStem)
      var layouts: [TensorFileLayout] = []
      for shard in shards.shards {
        layouts.append(
          try SafetensorsWriter.layout(
            shard.tensors, metadata: [("format", "pt")], storesHashes: true, path: path))
      }
      self.layouts = layouts
    }

    /// Bytes of all files with weights.
    var byteCount: Int { layouts.reduce(0) { $0 + $1.byteCount } }

    func write(to folder: AtomicFolder, _ contents: TensorContents) throws {
      var rest = tensors[...]
      for (shard, layout) in zip(shards.shards, layouts) {
        let writer = try TensorFileWriter(
          path: try folder.file("\(name)/\(shard.fileName)"), overwrite: false, layout: layout)
        for (tensor, rows) in rest.prefix(shard.tensors.count) {
          for range in rows { try contents.write(range, of: tensor, as: type, to: writer) }
        }
        rest = rest.dropFirst(shard.tensors.count)
        try writer.flush()
        try contents.checkCancellation()
        try writer.finish()
      }
    }
  }
}
