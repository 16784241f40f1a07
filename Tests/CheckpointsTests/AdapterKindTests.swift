import Checkpoints
import Compute
import Foundation
import ModelFiles
import StrictJSON
import TestSupport
import Testing

/// A single layer with an adapter of each kind.
@Suite("Kinds of adapters")
struct AdapterKindTests {
  typealias Tensor = SafetensorsWriter.FloatTensor

  /// The term of a file with one module.
  private static func term(
    _ tensors: [Tensor], in folder: TemporaryFolder, configuration: JSONValue? = nil,
    strength: Double = 1
  ) throws -> AdapterTerm {
    let name = configuration == nil ? "a.safetensors" : "adapter_model.safetensors"
    let path = try folder.write(SafetensorsWriter.encode(tensors), to: name)
    if let configuration {
      _ = try folder.write(Array(configuration.text().utf8), to: "adapter_config.json")
    }
    let file = try AdapterFile(AdapterPath(path: path, strength: strength), access: .mmap)
    return AdapterTerm(
      file: file, module: try #require(file.modules.first),
      target: .init(name: "layer.weight", bias: "layer.bias", rowOrder: .asStored), part: "layer")
  }

  /// The tensors of a file below a folder of names, with another beginning.
  private static func tensors(
    _ golden: Golden, _ kind: String, as beginning: String
  ) throws -> [Tensor] {
    try golden.names.filter { $0.hasPrefix(kind + "/") && !$0.contains("expected") }
      .filter { !$0.hasSuffix("/y") && !$0.hasSuffix("on_input") }.map { name in
        Tensor(
          name: beginning + name.dropFirst(kind.count + 1), shape: try golden.shape(name),
          values: try golden.floats(name))
      }
  }

  @Test(
    "a layer computes what PEFT's computes",
    arguments: ["lora", "dora", "loha", "lokr", "ia3-rows", "ia3-columns"])
  func peft(kind: String) throws {
    let golden = try Golden("adapters/layers.safetensors")
    let folder = try TemporaryFolder()
    let term = try Self.term(
      try Self.tensors(golden, kind, as: ""), in: folder,
      configuration: try Fixtures.json("adapters/layers.json")[kind])
    let weight = try WeightMatrix(resident: golden.floats("weight"), rows: 12, columns: 20)
    var bias = try golden.floats("bias")
    try term.apply(toBias: &bias)
    let elements = try weight.updated(by: term.updates(of: weight)).decoded()
    let x = try golden.floats("x")
    var y: [Float] = []
    for row in 0..<5 {
      for output in 0..<12 {
        var sum: Float = bias[output]
        for column in 0..<20 { sum += x[row * 20 + column] * elements[output * 20 + column] }
        y.append(sum)
      }
    }
    // Twenty products and a few more are added up in float32.
    #expect(relativeError(y, try golden.floats("\(kind)/y")) < 2e-6)
  }

  @Test(
    "weights equal those of LyCORIS' formulas, strengths as ComfyUI has them",
    .enabled(if: Fixtures.extraData != nil, Comment(rawValue: Fixtures.extraDataReason)))
  func formulas() throws {
    let path = try #require(Fixtures.extraData)
      .appendingPathComponent("families/adapters.safetensors").path
    let golden = try Golden(path: path)
    let expected = golden.names.filter { $0.contains("/expected_weight_strength_") }
    #expect(expected.count > 20)
    for name in expected {
      let parts = name.split(separator: "/").map(String.init)
      let strength = try #require(Double(parts[1].split(separator: "_").last ?? ""))
      let folder = try TemporaryFolder()
      var tensors = try Self.tensors(golden, parts[0], as: "m.")
      if parts[0].hasPrefix("ia3") {
        tensors.append(
          Tensor(name: "m.on_input", shape: [], values: [parts[0] == "ia3_input" ? 1 : 0]))
      }
      let term = try Self.term(tensors, in: folder, strength: strength)
      let base = parts[0].hasPrefix("conv") ? "base/conv_weight" : "base/weight"
      let shape = try golden.shape(base)
      let weight = try WeightMatrix(
        resident: golden.floats(base), rows: shape[0],
        columns: shape.dropFirst().reduce(1, *))
      let found = try weight.updated(by: term.updates(of: weight)).decoded()
      // Sums of few products in float32, and a length of a row or column.
      #expect(relativeError(found, try golden.floats(name)) < 2e-6, "\(name)")
    }
  }

  @Test("GLoRA, OFT and BOFT are refused by kind")
  func otherKinds() throws {
    for (names, kind) in [
      (["m.a1.weight", "m.a2.weight", "m.b1.weight", "m.b2.weight"], "GLoRA"),
      (["m.oft_blocks", "m.alpha"], "OFT"), (["m.boft_R.weight"], "BOFT"),
      (["m.oft_diag"], "OFT"),
    ] {
      let folder = try TemporaryFolder()
      let error = try #require(throws: ModelFileError.self) {
        try Self.term(
          names.map { Tensor(name: $0, shape: [2, 2], values: [1, 2, 3, 4]) }, in: folder)
      }
      #expect(error.fault.contains("is of \(kind), which is not applied"), "\(error)")
    }
  }
}
