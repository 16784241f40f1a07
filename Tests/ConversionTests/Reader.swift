import Checkpoints
import ModelFiles
import Networks

/// A text encoder that exists in tests only: with names like CLIP's, and a tokenizer of its kind.
enum Reader {
  /// Ids of the tokenizer.
  static let idCount = 1000
  private static let width = 32

  private static func open(_ weights: any WeightSource) throws(ModelFileError) {
    _ = try weights.matrix(
      "text_model.embeddings.token_embedding.weight", rows: idCount, columns: width)
    for layer in 0..<3 {
      let name = "text_model.encoder.layers.\(layer).mlp.fc1"
      _ = try weights.matrix("\(name).weight", rows: width, columns: width)
      _ = try weights.vector("\(name).bias", count: width)
    }
    try weights.expectNothingElse()
  }

  private static let names = [
    "text_model.embeddings.token_embedding.weight",
    "text_model.encoder.layers.{i}.mlp.fc1.weight", "text_model.encoder.layers.{i}.mlp.fc1.bias",
  ]

  private static let network = NetworkDescription(
    id: "Reader", library: .transformers, className: "ReaderModel", modelTypes: ["reader"],
    architecture: "reader",
    tables: [
      NameTable(scheme: "original", canonical: names),
      NameTable(scheme: "folder", canonical: names),
    ],
    roles: [RoleRule("**", .sensitive)]
  ) { source throws(ModelFileError) in
    try open(source.weights)
    return facts
  }

  private static let facts = NetworkFacts(settings: [], vocabularySize: idCount) { _ in
    [.init(key: "model_type", value: "reader")]
  }

  static let slot = Slot(
    "text_encoder", name: "CLIP text encoder", option: "clip-l", networks: [network],
    singleFilePrefix: "clip_l.", keepsFolderNames: true,
    tokenizer: TokenizerPlace(
      "tokenizer", name: "CLIP tokenizer", option: "clip-tokenizer", form: .clip,
      published: "nowhere/clip", keys: TokenizerKeys("clip"),
      kept: .init(name: "painter-clip", idCounts: [idCount], repositories: ["painter/clip"])),
    published: "nowhere", example: "text_model.embeddings.token_embedding.weight")

  static let part = ModelPreset.Part(slot, network, facts) { weights throws(ModelFileError) in
    try open(weights)
  }
}
