import Foundation
import ModelFiles

/// Finding files in the folders that tools make.
enum ModelFolder {
  static func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
      && isFolder.boolValue
  }

  static func join(_ folder: String, _ name: String) -> String {
    folder.hasSuffix("/") ? folder + name : folder + "/" + name
  }

  /// The folder that a file lies in.
  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Names under which diffusers and transformers save weights, best first.
  private static let weightNames = ["diffusion_pytorch_model", "model"].flatMap { stem in
    [
      "\(stem).safetensors.index.json", "\(stem).safetensors",
      "\(stem).safetensors.index.fp16.json", "\(stem).fp16.safetensors.index.json",
      "\(stem).fp16.safetensors",
    ]
  }

  /// The weights in a part's folder: a known name, else the only model file there.
  ///
  /// - Throws: `ModelFileError` saying what was looked for.
  static func weights(in folder: String) throws(ModelFileError) -> String {
    for name in weightNames where FileManager.default.fileExists(atPath: join(folder, name)) {
      return join(folder, name)
    }
    let contents = (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted() ?? []
    let candidates = contents.filter { $0.hasSuffix(".safetensors") || $0.hasSuffix(".gguf") }
    if let only = candidates.first, candidates.count == 1 { return join(folder, only) }
    let pickles = contents.contains { $0.hasSuffix(".bin") || $0.hasSuffix(".pt") }
    throw ModelFileError(
      path: folder, kind: .notFound,
      fault: candidates.isEmpty
        ? "has no safetensors or GGUF weights"
          + (pickles ? ": PyTorch pickles are not opened, convert them to safetensors" : "")
        : "has several model files (\(candidates.prefix(3).joined(separator: ", "))): name one")
  }
}
