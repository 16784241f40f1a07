import Foundation
import ModelFiles

/// Names of levels, which are names of folders too: each once.
package final class LevelNames {
  private var taken: Set<String> = []

  package init() {}

  /// A name for the model at a path.
  package func unique(for path: String) -> String {
    let isFile = ["gguf", "safetensors", "json"].contains(FileSystem.fileExtension(of: path))
    let stem =
      isFile
      ? FileSystem.stem(of: path)
      : FileSystem.name(of: FileSystem.withoutTrailingSlashes(path))
    var name = String(
      stem.map { $0.isLetter || $0.isNumber || "._-+ ".contains($0) ? $0 : "_" }.prefix(80))
    if name.isEmpty || name.hasPrefix(".") { name = "model" + name }
    // File systems may not tell upper from lower case.
    var number = 2
    var candidate = name
    while !taken.insert(candidate.lowercased()).inserted {
      candidate = "\(name)-\(number)"
      number += 1
    }
    return candidate
  }
}
