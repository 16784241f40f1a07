import ModelFiles
import Tokenizers

/// Looks for the tokenizer of one place: the one way for every verb.
///
/// What a user names must be what it should be; of what lies around, other forms are passed over,
/// since a model may have several tokenizers.
struct TokenizerSearch {
  private let place: TokenizerPlace
  /// The class that the pipeline's index names.
  private let className: String?
  private let catalog: FamilyCatalog

  init(_ place: TokenizerPlace, className: String?, _ catalog: FamilyCatalog) {
    self.place = place
    self.className = className
    self.catalog = catalog
  }

  /// Whether a tokenizer is of the place's form, as far as it shows.
  private func fits(_ source: TokenizerSource) -> Bool {
    source.form.map { $0 == place.form } ?? true
  }

  // MARK: Named by the user

  /// Opens a tokenizer that the user named.
  ///
  /// - Parameter path: a folder or a file.
  /// - Returns: the tokenizer.
  /// - Throws: `ModelFileError` if it is of another form, malformed or not there.
  func open(_ path: String) throws(ModelFileError) -> TokenizerSource {
    let source = try named(path)
    guard fits(source) else { throw unfit(source) }
    return source
  }

  private func unfit(_ source: TokenizerSource) -> ModelFileError {
    ModelFileError(
      path: source.path, kind: .unsupported,
      fault: "is \(source.form?.phrase ?? "another tokenizer"), where \(place.flag) takes "
        + "\(place.form.phrase): \(place.published)")
  }

  private func named(_ path: String) throws(ModelFileError) -> TokenizerSource {
    guard ModelFolder.isFolder(path) else { return try inFile(HubCache.resolve(path)) }
    let snapshot = HubCache.resolve(path)
    let folders = [snapshot] + ownFolders(in: snapshot)
    if let source = try first(in: folders) { return source }
    // What would be right for another place says more than that nothing is there.
    for folder in folders {
      for form in TokenizerForm.allCases where form != place.form {
        if let other = try Self.inFolder(folder, form, className: nil), other.form == form {
          throw unfit(other)
        }
      }
    }
    let names = place.form.fileNames
    throw ModelFileError(
      path: path, kind: .notFound,
      fault: "has no " + names.dropLast().joined(separator: ", ") + " or \(names.last ?? "")")
  }

  private func inFile(_ path: String) throws(ModelFileError) -> TokenizerSource {
    let file = try MappedFile(path: path)
    let merges = ModelFolder.join(ModelFolder.folder(of: path), "merges.txt")
    if FileSystem.name(of: path) == "vocab.json", FileSystem.exists(merges) {
      return try .merges(merges, className: className)
    }
    let isJSON = file.bytes.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) } == UInt8(ascii: "{")
    if path.hasSuffix(".json") || isJSON { return try .json(path, className: className) }
    if file.bytes.prefix(4).elementsEqual("GGUF".utf8) {
      let archive = try TensorArchive(path: path)
      for keys in [place.keys, TokenizerKeys()] {
        if let source = try TokenizerSource.inArchive(archive, keys) { return source }
      }
      throw file.malformed("has no tokenizer in its metadata ('\(place.keys.ggml("tokens"))')")
    }
    let isPieces =
      TokenizerForm(merges: file.bytes) == nil
      && (place.form != .clip || TokenizerForm(sentencePieceModel: Array(file.bytes)) != nil)
    return isPieces ? try .pieces(of: file) : try .merges(path, className: className)
  }

  // MARK: Around the model

  /// The tokenizer that one of some checkpoints carries; nil if none does.
  ///
  /// - Throws: `ModelFileError` if it is malformed.
  func inArchives(_ archives: [TensorArchive]) throws(ModelFileError) -> TokenizerSource? {
    for archive in archives {
      if let source = try TokenizerSource.inArchive(archive, place.keys), fits(source) {
        return source
      }
    }
    return nil
  }

  /// The tokenizer that lies around a model's file or folder: in a tokenizer's folder in it, in it,
  /// or in a tokenizer's folder beside a part's folder of a pipeline.
  ///
  /// - Throws: `ModelFileError` if it is malformed.
  func around(_ path: String) throws(ModelFileError) -> TokenizerSource? {
    let folder = ModelFolder.isFolder(path) ? path : ModelFolder.folder(of: path)
    var folders = ownFolders(in: folder) + [folder]
    let name = FileSystem.resolved(folder).map { FileSystem.name(of: $0) }
    if catalog.slots.contains(where: { $0.key == name }) {
      folders += ownFolders(in: ModelFolder.join(folder, ".."))
    }
    return try first(in: folders)
  }

  /// Folders of tokenizers in a pipeline's folder, that of the place first: families give the same
  /// names to different ones.
  private func ownFolders(in folder: String) -> [String] {
    ([place.key] + catalog.tokenizerFolders.filter { $0 != place.key }).map {
      ModelFolder.join(folder, $0)
    }
  }

  private func first(in folders: [String]) throws(ModelFileError) -> TokenizerSource? {
    for folder in folders where ModelFolder.isFolder(folder) {
      if let source = try Self.inFolder(folder, place.form, className: className) {
        return source
      }
    }
    return nil
  }

  /// The tokenizer of a folder that is of a form, `tokenizer.json` first, as the reference reads
  /// it.
  private static func inFolder(
    _ folder: String, _ form: TokenizerForm, className: String?
  ) throws(ModelFileError) -> TokenizerSource? {
    for name in form.fileNames {
      guard let source = try TokenizerSource.named(name, in: folder, className: className) else {
        continue
      }
      if source.form.map({ $0 == form }) ?? true { return source }
    }
    return nil
  }

  // MARK: Outside of the model

  /// The tokenizer in the cache of Hugging Face's hub, or the one that the program keeps; nil for
  /// places whose tokenizer is not looked for there. What is malformed there is passed over: the
  /// user has not named it.
  func outside() -> TokenizerSource? {
    guard let kept = place.kept else { return nil }
    for name in kept.repositories {
      guard let repository = HubCache.repository(name) else { continue }
      let snapshot = HubCache.resolve(repository)
      if let source = try? first(in: ownFolders(in: snapshot) + [snapshot]) { return source }
    }
    return TokenizerStore.path(of: kept).flatMap { try? first(in: [$0]) }
  }
}
