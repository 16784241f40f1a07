import Foundation
import ModelFiles
import StrictJSON

/// A small JSON file that was read and parsed.
package struct ConfigurationFile: Sendable {
  /// Largest file that is taken for a configuration (or tokenizer), in bytes.
  package static let maximumLength = 64 << 20

  package let path: String
  package let json: JSONValue

  /// Reads a file.
  ///
  /// - Throws: `ModelFileError` if it cannot be read or is no JSON object.
  package init(path: String) throws(ModelFileError) {
    let file = try MappedFile(path: path)
    guard file.bytes.count <= Self.maximumLength else {
      throw file.malformed(
        "is \(file.bytes.count) bytes long, too much for a configuration file")
    }
    do {
      json = try JSONValue(parsing: file.bytes)
    } catch {
      throw file.malformed("\(error)")
    }
    guard json.members != nil else { throw file.malformed("is not a JSON object") }
    self.path = path
  }

  /// Reads a file if it exists.
  package static func ifPresent(_ path: String) throws(ModelFileError) -> ConfigurationFile? {
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    return try ConfigurationFile(path: path)
  }

  /// Whether the configuration describes the given part of an AuraFlow model.
  func describes(_ part: ModelPart) -> Bool {
    let name = json["_class_name"]?.stringValue ?? json["model_type"]?.stringValue
    return switch part {
    case .transformer: name == "AuraFlowTransformer2DModel"
    case .textEncoder: name == "umt5" || name == "t5"
    case .autoencoder: name == "AutoencoderKL" || name == "AutoencoderTiny"
    }
  }
}
