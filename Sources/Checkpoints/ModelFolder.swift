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

  static func has(_ name: String, in folder: String) -> Bool {
    FileManager.default.fileExists(atPath: join(folder, name))
  }

  /// The weights of a folder under the best known name that is there.
  static func knownWeights(in folder: String) -> String? {
    weightNames.first { has($0, in: folder) }.map { join(folder, $0) }
  }

  /// The weights in a part's folder: a known name, else the only model file there.
  ///
  /// - Throws: `ModelFileError` saying what was looked for.
  static func weights(in folder: String) throws(ModelFileError) -> String {
    if let known = knownWeights(in: folder) { return known }
    let candidates = contents(of: folder).filter {
      $0.hasSuffix(".safetensors") || $0.hasSuffix(".gguf")
    }
    guard let first = candidates.first else { throw noWeights(in: folder) }
    guard candidates.count == 1 else {
      throw ModelFileError(
        path: folder, kind: .notFound,
        fault: "has several model files (\(candidates.prefix(3).joined(separator: ", "))): name one"
      )
    }
    return join(folder, first)
  }

  /// The indices, safetensors and GGUF files of a folder; indices first.
  static func modelFiles(in folder: String) -> [String] {
    let names = contents(of: folder)
    let indices = names.filter { $0.hasSuffix(".json") && $0.contains(".safetensors.index.") }
    let files = names.filter { $0.hasSuffix(".safetensors") || $0.hasSuffix(".gguf") }
    return (indices + files).map { join(folder, $0) }
  }

  /// The error about a folder without weights.
  static func noWeights(in folder: String) -> ModelFileError {
    let pickles = contents(of: folder).contains { $0.hasSuffix(".bin") || $0.hasSuffix(".pt") }
    return ModelFileError(
      path: folder, kind: .notFound,
      fault: "has no safetensors or GGUF weights"
        + (pickles ? ": PyTorch pickles are not opened, convert them to safetensors" : ""))
  }

  private static func contents(of folder: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted() ?? []
  }
}
