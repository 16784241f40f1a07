import BlockFormats
import Checkpoints
import Conversion
import Foundation
import Machine
import ModelFiles
import ModelSynthesis
import Quantization
import TestSupport
import Testing

/// Converts for tests, without a program around.
struct ConversionFixture {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// A tiny model of random weights, with rows that hold blocks of every type.
  func synthetic(_ type: ElementType = .f16) throws -> String {
    let path = folder.path("synthetic-\(type.name).gguf")
    if !FileManager.default.fileExists(atPath: path) {
      _ = try SyntheticModel(.tiny, type: type, seed: 1).writeGGUF(
        to: path, overwrite: false, on: ThreadPool(threadCount: 2)
      ) { _, _ in }
    }
    return path
  }

  /// A model of another architecture: the one that comes with the program.
  func otherModel() throws -> String {
    Fixtures.checkout.appendingPathComponent("models/auraflow-icons.gguf").path
  }

  /// Writes a safetensors file of two bytes an element that has no data: nothing is read before a
  /// plan is carried out.
  ///
  /// - Parameters:
  ///   - tensors: names and shapes, in the order of the data.
  ///   - type: their type, as the format calls it.
  ///   - name: the file's.
  /// - Returns: its path.
  /// - Throws: what writing throws.
  func writeHeader(
    of tensors: [(name: String, shape: [Int])], _ type: String, to name: String
  ) throws -> String {
    let path = folder.path(name)
    var (members, offset): ([String], Int) = ([], 0)
    for (name, shape) in tensors {
      let end = offset + 2 * shape.reduce(1, *)
      members.append(
        "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(offset),\(end)]}"
      )
      offset = end
    }
    let header = Data("{\(members.joined(separator: ","))}".utf8)
    var file = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
    file += header
    try file.write(to: URL(fileURLWithPath: path))
    #expect(truncate(path, off_t(file.count + offset)) == 0)
    return path
  }

  static func request(
    _ type: String, preset: TypePreset = .published, rules: [String] = [],
    container: ConversionPlan.Container = .gguf
  ) throws -> ConversionPlan.Request {
    var request = ConversionPlan.Request(try #require(TypeMix(named: type)))
    request.preset = preset
    request.rules = try rules.map { try TypeRule($0) }
    request.container = container
    return request
  }

  func plan(
    _ paths: ModelPaths, _ request: ConversionPlan.Request, part: PartSelection = .all,
    hints: ArchitectureHints = ArchitectureHints()
  ) throws -> ConversionPlan {
    try ConversionPlan(
      try ConversionSource(part, paths: paths, hints: hints), request, path: "out")
  }

  /// Converts and returns the outcomes.
  @discardableResult
  func convert(
    _ paths: ModelPaths, to name: String, _ request: ConversionPlan.Request,
    part: PartSelection = .all, hints: ArchitectureHints = ArchitectureHints(),
    options: ConversionOptions = ConversionOptions(), threads: Int = 2
  ) throws -> [TensorOutcome] {
    try Converter.write(
      try plan(paths, request, part: part, hints: hints), to: folder.path(name), overwrite: false,
      options: options, on: ThreadPool(threadCount: threads)
    ) { _, _ in }
  }

  func bytes(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: folder.path(name)))
  }

  func archive(_ name: String) throws -> TensorArchive {
    try TensorArchive(path: folder.path(name))
  }

  /// Every tensor's type, shape and bytes by name.
  func contents(_ name: String) throws -> [String: StoredContent] {
    let archive = try archive(name)
    var contents: [String: StoredContent] = [:]
    for (index, record) in archive.tensors.records.enumerated() {
      contents[record.name] = StoredContent(
        type: record.type, shape: record.shape, bytes: try archive.copy(of: index))
    }
    return contents
  }

  struct StoredContent: Equatable, CustomTestStringConvertible {
    let type: ElementType
    let shape: [Int]
    let bytes: [UInt8]

    var testDescription: String { "\(type.name) \(shape) \(bytes.prefix(8))..." }

    /// The values as float32.
    var values: [Float] {
      let count = shape.reduce(1, *)
      var values = [Float](repeating: 0, count: count)
      bytes.withUnsafeBytes { bytes in
        if let base = bytes.baseAddress { type.decode(base, count: count, into: &values) }
      }
      return values
    }
  }

  /// Writes a safetensors file of tensors whose bytes are given.
  func write(
    _ tensors: [(name: String, content: StoredContent)], to name: String
  ) throws -> String {
    let path = folder.path(name)
    let layout = try SafetensorsWriter.layout(
      tensors.map {
        TensorDeclaration(name: $0.name, type: $0.content.type, shape: $0.content.shape)
      }, path: path)
    let writer = try TensorFileWriter(path: path, overwrite: true, layout: layout)
    for tensor in tensors {
      try tensor.content.bytes.withUnsafeBytes { try writer.write($0) }
    }
    try writer.finish()
    return path
  }
}

extension ModelPaths {
  /// A path of a whole model or a single part.
  init(_ path: String) { self.init(model: path) }
}

extension ConversionPlan {
  /// Tensors of each type.
  var counts: [ElementType: Int] { tensors.reduce(into: [:]) { $0[$1.type, default: 0] += 1 } }
}
