import Checkpoints
import Foundation
import ModelFiles
import StrictJSON

/// Random-looking weights that the reference scripts and the tests compute by the same formula
/// (`tools/reference/seeded.py`), so that fixtures need not hold them.
package enum SeededWeights {
  /// `count` values in −1..<1 for a name: FNV-1a of the name, then splitmix64.
  package static func values(_ name: String, count: Int) -> [Float] {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in name.utf8 {
      hash ^= UInt64(byte)
      hash &*= 0x100_0000_01b3
    }
    return (0..<count).map { index in
      var z = hash &+ (UInt64(index) &+ 1) &* 0x9E37_79B9_7F4A_7C15
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      z ^= z >> 31
      return (Float(z >> 40) * 0x1p-24 - 0.5) * 2
    }
  }

  /// The tensors that a `weights.json` describes, or a layout of such tensors: there each consists
  /// of runs of values, one after another.
  package static func tensors(
    _ manifest: JSONValue
  ) throws -> [SafetensorsWriter.FloatTensor] {
    let salt = manifest["salt"]?.stringValue ?? ""
    return try (manifest["tensors"]?.arrayValue ?? []).map { entry in
      guard let name = entry["name"]?.stringValue,
        let shape = entry["shape"]?.arrayValue?.compactMap(\.integerValue)
      else { throw JSONError(offset: 0, fault: "not a weights manifest") }
      let runs = entry["parts"]?.arrayValue ?? [entry]
      let values = try runs.flatMap { try run($0, salt, wholeCount: shape.reduce(1, *)) }
      return .init(name: name, shape: shape, values: values)
    }
  }

  /// Values of a tensor from the first to the last that a run names, or all of them.
  private static func run(
    _ entry: JSONValue, _ salt: String, wholeCount: Int
  ) throws -> [Float] {
    guard let name = entry["name"]?.stringValue,
      let scale = entry["scale"]?.doubleValue, let offset = entry["offset"]?.doubleValue
    else { throw JSONError(offset: 0, fault: "not a run of values") }
    let first = entry["first"]?.integerValue ?? 0
    let count = entry["count"]?.integerValue ?? wholeCount
    return values("\(salt)/\(name)", count: first + count)[first...].map {
      Float(offset) + Float(scale) * $0
    }
  }

  /// Writes the weights of a fixture component as safetensors.
  package static func write(_ fixture: String, to path: String) throws {
    let bytes = SafetensorsWriter.encode(try tensors(try Fixtures.json(fixture)))
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  /// Makes a runnable diffusers folder out of a pipeline fixture.
  ///
  /// - Parameters:
  ///   - name: the pipeline.
  ///   - group: the fixtures that it is one of.
  /// - Returns: the folder.
  /// - Throws: what reading and writing throws.
  package static func pipelineFolder(
    _ name: String, in group: String = "pipelines"
  ) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let source = Fixtures.folder.appendingPathComponent("\(group)/\(name)")
    for item in try FileManager.default.contentsOfDirectory(atPath: source.path) {
      try FileManager.default.copyItem(
        at: source.appendingPathComponent(item), to: folder.url.appendingPathComponent(item))
      guard Fixtures.exists("\(group)/\(name)/\(item)/weights.json") else { continue }
      let stem = item.hasPrefix("text_encoder") ? "model" : "diffusion_pytorch_model"
      try write(
        "\(group)/\(name)/\(item)/weights.json", to: folder.path("\(item)/\(stem).safetensors"))
    }
    return folder
  }
}

extension SeededWeights {
  /// What the configurations of a pipeline fixture say, for files that have none.
  package static func hints(_ pipeline: String) throws -> ArchitectureHints {
    func configuration(_ part: String) throws -> JSONValue {
      try Fixtures.json("pipelines/\(pipeline)/\(part)/config.json")
    }
    var hints = ArchitectureHints()
    hints.headDimension = try configuration("transformer")["attention_head_dim"]?.integerValue
    hints.normGroups = try configuration("vae")["norm_num_groups"]?.integerValue
    hints.scalingFactor = try configuration("vae")["scaling_factor"]?.doubleValue
    hints.relativeMaxDistance =
      try configuration("text_encoder")["relative_attention_max_distance"]?.integerValue
    return hints
  }
}
