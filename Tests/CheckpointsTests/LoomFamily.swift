import AuraFlowFamily
import Checkpoints
import ModelFiles

/// A denoiser of which folders store some tensors as several, and one with its halves swapped.
enum Loom {
  static let names = [
    "warp.weight", "threads.{i}.qkv.weight", "threads.{i}.qkv.bias", "threads.{i}.linear.weight",
    "final.weight", "final.bias",
  ]

  static let folderRules: [NameRule] = names.flatMap { name -> [NameRule] in
    func renamed(_ old: String, _ new: [String]) -> [String] {
      new.map { "folder." + name.replacing(old, with: $0) }
    }
    if name.contains("qkv") { return NameRule.parts(name, renamed("qkv", ["q", "k", "v"])) }
    if name.contains("linear") {
      return NameRule.parts(
        name,
        renamed("linear", ["q", "k", "v", "mlp"]).map { $0.replacing("threads", with: "fine") },
        shares: [1, 1, 1, 4])
    }
    return [NameRule(name, "folder." + name, name.hasPrefix("final") ? .halvesSwapped : .asStored)]
  }

  static let network = NetworkDescription(
    id: "Loom", library: .diffusers, className: "LoomModel", architecture: "loom",
    tables: [
      NameTable(scheme: "original", canonical: names),
      NameTable(scheme: "diffusers", rules: folderRules),
      // Some tools store either form.
      NameTable(
        scheme: "either",
        rules: names.map { NameRule($0, "either." + $0) }
          + NameRule.parts(
            "threads.{i}.qkv.weight", ["q", "k", "v"].map { "either.threads.{i}.\($0).weight" })),
    ], roles: [], convention: .denoiser
  ) { source throws(ModelFileError) in
    try open(source.weights)
    return NetworkFacts(settings: []) { _ in [] }
  }

  static func open(_ weights: any WeightSource) throws(ModelFileError) {
    _ = try weights.matrix("warp.weight", rows: 8, columns: 4)
    _ = try weights.matrix("threads.0.qkv.weight", rows: 6, columns: 4)
    _ = try weights.vector("threads.0.qkv.bias", count: 6)
    _ = try weights.matrix("threads.0.linear.weight", rows: 14, columns: 4)
    _ = try weights.matrix("final.weight", rows: 4, columns: 4)
    _ = try weights.vector("final.bias", count: 4)
    try weights.expectNothingElse()
  }

  static let slot = Slot(
    "transformer", name: "loom", option: "transformer", networks: [network], singleFilePrefix: "",
    published: "nowhere", example: "warp.weight")

  static let family = FamilyDescription(
    name: "Loom", modelPhrase: "a Loom model", pipelineClass: "LoomPipeline", denoiser: slot,
    otherSlots: [], metadata: MetadataKeys(prefix: "loom"), defaults: AuraFlow.family.defaults,
    promptAdvice: "")
}
