import Checkpoints
import Foundation
import ModelFiles
import TestSupport
import Testing
import TextToImage

@Suite("Adapters that do not fit")
struct AdapterRefusalTests {
  typealias Tensor = SafetensorsWriter.FloatTensor

  @Test("tensors that match nothing are told by name and count, a file of such is refused")
  func strangers() throws {
    let files = try AdapterFiles("flux")
    let (tensors, metadata) = try files.adapter("all")
    let odd = ["transformer.nowhere.lora_A.weight", "transformer.nowhere.lora_B.weight", "clutter"]
      .map { Tensor(name: $0, shape: [1, 1], values: [1]) }
    let path = try files.write(tensors + odd, metadata: metadata, to: "some.safetensors")
    let pipeline = try Pipeline(files.paths([AdapterPath(path: path)]))
    let notes = try pipeline.notes(on: [try files.request()])
    #expect(
      notes.contains {
        $0.contains("some.safetensors: 3 of \(tensors.count + 3) tensors match nothing")
          && $0.contains("'transformer.nowhere.lora_A.weight'") && $0.contains("'clutter'")
      }, "\(notes)")
    let other = try files.write(odd, to: "none.safetensors")
    let error = #expect(throws: ModelFileError.self) {
      try Pipeline(files.paths([AdapterPath(path: other)]))
    }
    #expect(error?.fault.contains("none of its 3 tensors is for a part of") == true, "\(error!)")
    // A model is no adapter.
    let model = #expect(throws: ModelFileError.self) {
      try Pipeline(
        files.paths([
          AdapterPath(path: files.folder.path("vae/diffusion_pytorch_model.safetensors"))
        ])
      )
    }
    #expect(model?.fault.contains("none of its") == true)
  }

  @Test(
    "tensors are told that stand beside others which leave them nothing to do",
    arguments: ["auraflow", "flux"])
  func idleTensors(family: String) throws {
    let files = try AdapterFiles(family)
    let (all, metadata) = try files.adapter("all")
    let tensors = all.filter { tensor in
      !["context_embedder", "norm_q"].contains { tensor.name.contains($0) }
    }
    func tensor(_ name: String, _ shape: [Int]) -> Tensor {
      Tensor(
        name: name, shape: shape, values: Array(repeating: 0.1, count: shape.reduce(1, *)))
    }
    // Modules that the adapter does not have otherwise, with what is applied and what is not.
    let norm = "transformer.transformer_blocks.0.attn.norm_q"
    let (layer, columns) = ("transformer.context_embedder", 24)
    let cases: [(used: [Tensor], idle: [Tensor])] =
      [
        (
          [tensor("\(layer).diff", [32, columns])], [tensor("\(layer).alpha", [])]
        ),
        (
          [
            tensor("\(layer).lokr_w1", [4, 4]), tensor("\(layer).lokr_w2", [8, columns / 4]),
            tensor("\(layer).alpha", []),
          ],
          [tensor("\(layer).lokr_w1_a", [4, 1]), tensor("\(layer).lokr_w1_b", [1, 4])]
        ),
        ([], [tensor("\(layer).alpha", [])]), ([], [tensor("\(layer).on_input", [])]),
        ([], [tensor("\(layer).lora_B.bias", [32])]),
        (
          [tensor("\(layer).diff", [32, columns])]
            + (family == "flux" ? [tensor("\(layer).diff_b", [32])] : []),
          family == "flux" ? [] : [tensor("\(layer).diff_b", [32])]
        ),
      ]
      + (family == "flux"
        ? [
          (
            [tensor("\(norm).diff", [16])],
            [
              tensor("\(norm).lora_A.weight", [2, 16]), tensor("\(norm).lora_B.weight", [16, 2]),
              tensor("\(norm).alpha", []),
            ]
          )
        ] : [])
    for (index, (used, idle)) in cases.enumerated() {
      let path = try files.write(
        tensors + used + idle, metadata: metadata, to: "\(index).safetensors")
      let notes = try Pipeline(files.paths([AdapterPath(path: path)]))
        .notes(on: [try files.request()]).filter { $0.contains(path) }
      guard !idle.isEmpty else {
        #expect(notes.isEmpty, "\(notes)")
        continue
      }
      let count = tensors.count + used.count + idle.count
      #expect(notes.count == 1)
      #expect(
        notes.first?.contains("\(idle.count) of \(count) tensors match nothing") == true,
        "\(index): \(notes)")
      for tensor in idle { #expect(notes.first?.contains("'\(tensor.name)'") == true) }
    }
  }

  /// A pair for one layer of the AuraFlow fixture, whose hidden width is 32.
  private static func pair(
    _ rank: Int = 2, rows: Int = 32, columns: Int = 32, value: Float = 0.1
  ) -> [Tensor] {
    let module = "transformer.single_transformer_blocks.0.attn.to_q"
    return [
      Tensor(
        name: "\(module).lora_A.weight", shape: [rank, columns],
        values: Array(repeating: value, count: rank * columns)),
      Tensor(
        name: "\(module).lora_B.weight", shape: [rows, rank],
        values: Array(repeating: value, count: rows * rank)),
    ]
  }

  @Test("files that do not fit are refused in one line")
  func hostile() throws {
    let files = try AdapterFiles("auraflow")
    let module = "transformer.single_transformer_blocks.0.attn.to_q"
    func scalar(_ name: String, _ value: Float, shape: [Int] = []) -> Tensor {
      Tensor(
        name: "\(module).\(name)", shape: shape,
        values: Array(repeating: value, count: shape.reduce(1, *)))
    }
    let cases: [(tensors: [Tensor], fault: String)] = [
      (Self.pair(rows: 31), "has shape [31, 2], expected [32, 2]"),
      (Self.pair(columns: 64), "has shape [2, 64], expected [2, 32]"),
      (Array(Self.pair().prefix(1)), "has no lora_up (lora_B) beside"),
      (Array(Self.pair().suffix(1)), "has no lora_down (lora_A) beside"),
      (Self.pair(value: .nan), "holds a number that is NaN or infinite"),
      (Self.pair() + [scalar("alpha", .infinity)], "holds no finite number"),
      (Self.pair() + [scalar("alpha", 1, shape: [3])], "has shape [3], expected a single number"),
      (Self.pair() + [scalar("dora_scale", 1, shape: [7])], "has shape [7], expected 32 numbers"),
      (Self.pair(0), "has shape [0, 32], expected [rank, 32]"),
      ([scalar("hada_w1_b", 1, shape: [2, 32])], "has no hada_w2_b beside"),
      ([scalar("lokr_w1", 1, shape: [5, 5])], "has shape [5, 5], expected one that divides"),
      ([scalar("lokr_w1", 1, shape: [4, 4])], "has no lokr_w2_b beside"),
      ([scalar("diff", 1, shape: [32, 16])], "has shape [32, 16], expected [32, 32]"),
      (
        Self.pair() + [scalar("lora_down.weight", 1, shape: [2, 32])],
        "say the same of one module"
      ),
    ]
    for (index, (tensors, fault)) in cases.enumerated() {
      let path = try files.write(tensors, to: "\(index).safetensors")
      let error = #expect(throws: ModelFileError.self, "\(fault)") {
        try Pipeline(files.paths([AdapterPath(path: path)]))
      }
      #expect(error?.fault.contains(fault) == true, "\(error?.description ?? "") not '\(fault)'")
      #expect(error?.path == path)
      #expect(error?.description.contains("\n") == false)
    }
    let sound = try files.write(Self.pair(), to: "sound.safetensors")
    for strength in [Double.nan, .infinity, 101] {
      #expect(throws: ModelFileError.self) {
        try Pipeline(files.paths([AdapterPath(path: sound, strength: strength)]))
      }
    }
  }

  @Test("settings of PEFT that are not what they should be are refused")
  func settings() throws {
    let files = try AdapterFiles("auraflow")
    for (text, fault) in [
      ("{", "metadata 'lora_adapter_metadata'"),
      (#"{"transformer.r": 2, "transformer.lora_alpha": "x"}"#, "'lora_alpha' must be a number"),
      (
        #"{"transformer.r": 2, "transformer.alpha_pattern": {"a.*": 2}}"#,
        "has the pattern 'a.*', expected names"
      ),
    ] {
      let path = try files.write(
        Self.pair(), metadata: [("lora_adapter_metadata", text)], to: "settings.safetensors")
      let error = #expect(throws: ModelFileError.self) {
        try Pipeline(files.paths([AdapterPath(path: path)]))
      }
      #expect(error?.fault.contains(fault) == true, "\(error?.description ?? "")")
    }
  }
}
