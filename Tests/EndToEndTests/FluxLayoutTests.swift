import Checkpoints
import Foundation
import Images
import ModelFiles
import TestSupport
import Testing
import TextToImage

/// The same FLUX.1 model in every layout in which people have it.
@Suite("Layouts of FLUX.1")
struct FluxLayoutTests {
  /// Of published head sizes, so that files need no configuration beside them.
  private let files: FluxFiles
  private var folder: TemporaryFolder { files.folder }
  private var manager: FileManager { .default }

  init() throws { files = try FluxFiles("real-heads") }

  /// The tokenizers, which files do not carry.
  private func paths(model: String) -> ModelPaths {
    ModelPaths(
      model: model, tokenizer: folder.path("tokenizer_2"), clipTokenizer: folder.path("tokenizer"))
  }

  @Test("the publishers' files of all parts, each by its flag, or the transformer as the model")
  func looseFiles() async throws {
    var paths = try files.writeLoose(in: "loose")
    try await files.expectGolden(paths)
    paths.model = paths.parts.removeValue(forKey: "transformer")
    try await files.expectGolden(paths)
  }

  @Test("a folder of the publishers' files")
  func looseFolder() async throws {
    _ = try files.writeLoose(in: "loose")
    try await files.expectGolden(paths(model: folder.path("loose")))
    for (name, place) in [
      ("tokenizer_2/spiece.model", "loose/spiece.model"),
      ("tokenizer/merges.txt", "loose/merges.txt"),
    ] {
      try manager.copyItem(atPath: folder.path(name), toPath: folder.path(place))
    }
    let inspection = try ModelInspection(path: folder.path("loose"))
    #expect(inspection.missing.isEmpty && inspection.ambiguities.isEmpty)
    try await files.expectGolden(ModelPaths(model: folder.path("loose")))
  }

  @Test("one file of all parts with ComfyUI's prefixes, and what lies in such files beside them")
  func allInOne() async throws {
    let json = try Fixtures.json("flux-checkpoints/expected.json")
    var tensors: [FluxFiles.Tensor] = []
    for member in try #require(json["all_in_one"]?.members) {
      let name = try #require(member.value.stringValue)
      let part = name.split(separator: "/").first?.split(separator: ".").first.map(String.init)
      tensors += try files.outside(part ?? "").map { $0.renamed(member.key + $0.name) }
    }
    for encoder in ["clip_l", "t5xxl"] {
      tensors.append(
        .init(name: "text_encoders.\(encoder).logit_scale", shape: [], values: [4.6]))
    }
    let path = try files.write(tensors, to: "all.safetensors")
    try await files.expectGolden(paths(model: path))
    let inspection = try ModelInspection(path: path)
    #expect(inspection.parts.count == 4 && inspection.family.name == "FLUX.1")
  }

  @Test("shards of a variant behind its index")
  func shards() async throws {
    for part in FluxFiles.parts {
      let stem = part.hasPrefix("text") ? "model" : "diffusion_pytorch_model"
      let tensors = try files.inFolder(part).map { tensor in
        RawSafetensors.Tensor(tensor.name, .f16, tensor.shape, tensor.halves)
      }
      try manager.removeItem(atPath: folder.path("\(part)/\(stem).safetensors"))
      guard part.hasSuffix("_2") || part == "transformer" else {
        try folder.write(RawSafetensors.encode(tensors), to: "\(part)/\(stem).fp16.safetensors")
        continue
      }
      let half = tensors.count / 2
      var members: [String] = []
      for (number, some) in [(1, tensors[..<half]), (2, tensors[half...])] {
        let name = "\(stem).fp16-0000\(number)-of-00002.safetensors"
        try folder.write(RawSafetensors.encode(Array(some)), to: "\(part)/\(name)")
        members += some.map { "\"\($0.name)\": \"\(name)\"" }
      }
      try folder.write(
        Array("{\"metadata\": {}, \"weight_map\": {\(members.joined(separator: ","))}}".utf8),
        to: "\(part)/\(stem).safetensors.index.fp16.json")
    }
    let result = try await files.result(ModelPaths(model: folder.path))
    // Weights with a relative error of 2^-11.
    #expect(
      relativeError(result.latents, try files.golden.floats("latents_unpacked")) < 2e-3)
  }

  @Test("a repository in a hub's cache, with the publishers' files beside the folders")
  func hubCache() async throws {
    let cache = try TemporaryFolder()
    let repository = cache.path("models--black-forest-labs--FLUX.1-schnell")
    let snapshot = repository + "/snapshots/0123abc"
    _ = try files.writeLoose(in: "loose")
    for name in ["flux1-dev", "ae"] {
      try manager.moveItem(
        atPath: folder.path("loose/\(name).safetensors"),
        toPath: folder.path("\(name).safetensors"))
    }
    try manager.removeItem(atPath: folder.path("loose"))
    try manager.createDirectory(atPath: repository + "/blobs", withIntermediateDirectories: true)
    for (index, name) in try manager.subpathsOfDirectory(atPath: folder.path).enumerated()
    where FileSystem.isFile(folder.path(name)) {
      let link = snapshot + "/" + name
      try manager.createDirectory(
        atPath: FileSystem.folder(of: link), withIntermediateDirectories: true)
      let blob = repository + "/blobs/\(index)"
      try manager.copyItem(atPath: folder.path(name), toPath: blob)
      try manager.createSymbolicLink(atPath: link, withDestinationPath: blob)
    }
    try await files.expectGolden(ModelPaths(model: repository))
  }

  @Test("one GGUF that convert writes, from the folder and from the publishers' files")
  func converted() async throws {
    _ = try files.writeLoose(in: "loose")
    let inputs = [
      ["convert", folder.path, "folder.gguf"],
      [
        "convert", "loose", "loose.gguf", "--tokenizer", "tokenizer_2", "--clip-tokenizer",
        "tokenizer",
      ],
    ]
    for arguments in inputs {
      let outcome = try CommandLine.run(arguments + ["--type", "f32", "-q"], in: folder.url)
      #expect(outcome.status == 0, "\(outcome.errors)")
      try await files.expectGolden(ModelPaths(model: folder.path(arguments[2])))
      let verified = try CommandLine.run(
        ["inspect", "--verify", "-q", arguments[2]], in: folder.url)
      #expect(verified.status == 0, "\(verified.errors)")
    }
  }

  @Test(
    "a tiny autoencoder in the VAE's place",
    .enabled(if: Fixtures.extraData != nil, Comment(rawValue: Fixtures.extraDataReason)))
  func tinyAutoencoder() async throws {
    let data = try #require(Fixtures.extraData)
    var paths = ModelPaths(model: folder.path)
    paths.parts["tae"] = data.appendingPathComponent("vae-tiny/taef1_decoder.safetensors").path
    let result = try await files.result(paths)
    #expect(
      relativeError(result.latents, try files.golden.floats("latents_unpacked")) < Tolerance.latents
    )
    #expect(Set(result.images[0].pixels).count > 16)
  }

  // MARK: Rounded weights

  /// The files with rounded weights and combinations of them.
  static func rounded() throws -> [String] {
    let json = try Fixtures.json("flux-checkpoints/expected.json")
    return json["replaced_by"]?.members?.map(\.key) ?? []
  }

  @Test(
    "GGUF as city96's and llama.cpp's tools write it, fp8 with and without scales",
    arguments: try rounded())
  func roundedWeights(_ name: String) async throws {
    let files = try FluxFiles("quantizable")
    let json = try Fixtures.json("flux-checkpoints/expected.json")
    let members = try #require(json["replaced_by"]?[name]?.arrayValue).compactMap(\.stringValue)
    var paths = ModelPaths(model: files.folder.path)
    for member in members {
      let (part, option) =
        member.hasPrefix("t5") ? ("text_encoder_2", "t5xxl") : ("transformer", "transformer")
      // The configuration has what tensors do not tell: heads are divided in three.
      let path = files.folder.path("\(part)/\(member)")
      try FileManager.default.copyItem(
        atPath: Fixtures.path("flux-checkpoints/\(member)"), toPath: path)
      paths.parts[option] = path
      let verified = try CommandLine.run(
        ["inspect", "--verify", "-q", path], in: files.folder.url)
      #expect(verified.status == 0, "\(verified.errors)")
    }
    let golden = try Golden("flux-checkpoints/expected.safetensors").floats(name)
    let shape = try files.golden.shape("latents_unpacked")
    let result = try await files.result(paths)
    #expect(
      relativeError(result.latents, FluxRequest.unpacked(golden, shape))
        < (name.contains("Q8_0") ? Tolerance.roundedActivations : Tolerance.latents))
  }
}
