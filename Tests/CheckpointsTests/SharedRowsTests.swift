import AuraFlowFamily
import BlockFormats
import Checkpoints
import Compute
import ModelFiles
import TestSupport
import Testing

@Suite("Tensors that files store as several")
struct SharedRowsTests {
  typealias Tensor = RawSafetensors.Tensor

  private let folder: TemporaryFolder
  private let catalog = FamilyCatalog(AuraFlow.family, [Loom.family])

  init() throws { folder = try TemporaryFolder() }

  /// Numbers that tell their row and column.
  private static func values(_ rows: [Int], columns: Int = 4) -> [Float] {
    rows.flatMap { row in (0..<columns).map { Float(100 * row + $0) } }
  }

  /// Everything in a folder's form.
  private static let stored = [
    Tensor("folder.warp.weight", [8, 4], values(Array(0..<8))),
    Tensor("folder.threads.0.q.weight", [2, 4], values([0, 1])),
    Tensor("folder.threads.0.k.weight", [2, 4], values([2, 3])),
    Tensor("folder.threads.0.v.weight", [2, 4], values([4, 5])),
    Tensor("folder.threads.0.q.bias", [2], [0, 1]),
    Tensor("folder.threads.0.k.bias", [2], [2, 3]),
    Tensor("folder.threads.0.v.bias", [2], [4, 5]),
    Tensor("folder.fine.0.q.weight", [2, 4], values([0, 1])),
    Tensor("folder.fine.0.k.weight", [2, 4], values([2, 3])),
    Tensor("folder.fine.0.v.weight", [2, 4], values([4, 5])),
    Tensor("folder.fine.0.mlp.weight", [8, 4], values(Array(6..<14))),
    Tensor("folder.final.weight", [4, 4], values([2, 3, 0, 1])),
    Tensor("folder.final.bias", [4], [2, 3, 0, 1]),
  ]

  private func part(_ tensors: [Tensor], overlay: String? = nil) throws -> PartSource {
    var paths = ModelPaths(
      transformer: try folder.write(RawSafetensors.encode(tensors), to: "t.safetensors"))
    paths.overlays = overlay.map { [$0] } ?? []
    var hints = ArchitectureHints()
    hints.allowsExtraTensors = true
    return try PartSources(paths, hints: hints, in: catalog) {
      _ throws(ModelFileError) in [Loom.slot]
    }.parts[0]
  }

  /// The folder's tensors without some, with some in the place of those of their name, and more.
  private func edited(
    without missing: [String] = [], with others: [Tensor] = [], adding more: [Tensor] = []
  ) -> [Tensor] {
    Self.stored.filter { !missing.contains($0.name) }
      .map { tensor in others.first { $0.name == tensor.name } ?? tensor } + more
  }

  private func fault(_ tensors: [Tensor]) -> String {
    let error = #expect(throws: ModelFileError.self) { try Loom.open(try part(tensors).weights) }
    return error?.description ?? ""
  }

  private func values(_ tensor: PartTensor) throws -> [Float] {
    try tensor.pieces.flatMap { piece in
      let bytes = try piece.file.copy(piece.range)
      var values = [Float](repeating: 0, count: piece.elementCount)
      piece.type.decode(bytes.pointer, count: values.count, into: &values)
      return values
    }
  }

  @Test("rows come in our order, whatever they are called")
  func rows() throws {
    let weights = try part(Self.stored).weights
    try Loom.open(weights)
    for (name, rows) in [
      ("threads.0.qkv.weight", 6), ("threads.0.linear.weight", 14), ("final.weight", 4),
    ] {
      let expected = Self.values(Array(0..<rows))
      #expect(try weights.values(name, rows: rows, columns: 4) == expected, "\(name)")
      #expect(try weights.matrix(name, rows: rows, columns: 4).name == name)
    }
    #expect(try weights.vector("threads.0.qkv.bias", count: 6) == [0, 1, 2, 3, 4, 5])
    #expect(try weights.vector("final.bias", count: 4) == [0, 1, 2, 3])
    #expect(weights.shape(of: "threads.0.linear.weight") == [14, 4])
    #expect(weights.dimension("threads.0.qkv.weight", 0, rank: 2) == 6)
    #expect(weights.has("threads.0.qkv.bias") && weights.layerCount("threads.") == 1)
    #expect(weights.storedName("threads.0.qkv.weight") == "folder.threads.0.q.weight")
    #expect(weights.storedName("threads.1.qkv.weight") == "folder.threads.1.q.weight")
  }

  @Test("all of them are found to be copied, and divided again")
  func tensors() throws {
    let weights = try part(Self.stored).weights
    try Loom.open(weights)
    let tensors = Dictionary(
      uniqueKeysWithValues: try weights.tensors().map { ($0.name, $0) })
    #expect(tensors.count == 6)
    let linear = try #require(tensors["threads.0.linear.weight"])
    #expect(linear.shape == [14, 4] && linear.pieces.count == 4 && linear.copiedType == .f32)
    #expect(try values(linear) == Self.values(Array(0..<14)))
    #expect(linear.storedNames.first == linear.storedName && linear.storedNames.count == 4)
    let mlp = try linear.stored(.part(3, shares: [1, 1, 1, 4]))
    #expect(mlp.shape == [8, 4] && mlp.storedName == "folder.fine.0.mlp.weight")
    #expect(try values(mlp) == Self.values(Array(6..<14)))
    // Other proportions go through pieces.
    let middle = try linear.stored(.part(1, shares: [1, 5, 1]))
    #expect(try values(middle) == Self.values(Array(2..<12)) && middle.pieces.count == 3)
    let bias = try #require(tensors["threads.0.qkv.bias"])
    #expect(try values(bias) == [0, 1, 2, 3, 4, 5] && bias.shape == [6])
    let final = try #require(tensors["final.bias"])
    #expect(try values(final) == [0, 1, 2, 3])
    #expect(try values(final.stored(.halvesSwapped)) == [2, 3, 0, 1])
    #expect(throws: ModelFileError.self) { try bias.stored(.part(0, shares: [1, 1, 1, 1])) }
  }

  @Test("a part that is missing is named by what the file would call it, with its shape")
  func missing() throws {
    let text = fault(edited(without: ["folder.fine.0.mlp.weight"]))
    #expect(
      text.contains("'folder.fine.0.mlp.weight' is missing, expected shape [8, 4]"), "\(text)")
    // What is there tells the size of the whole.
    let weights = try part(edited(without: ["folder.fine.0.mlp.weight"])).weights
    #expect(weights.shape(of: "threads.0.linear.weight") == [14, 4])
    let unfit = weights.unfit("threads.0.linear.weight", expected: "[a, b]").fault
    #expect(unfit.contains("'folder.fine.0.mlp.weight' is missing") && unfit.contains("1:1:1:4"))
    #expect(throws: ModelFileError.self) { try weights.tensors() }
    let none = edited(without: ["q", "k", "v"].map { "folder.threads.0.\($0).bias" })
    #expect(fault(none).contains("'folder.threads.0.q.bias' is missing, expected shape [2]"))
  }

  @Test("a part of another shape is named with the shape that it should have")
  func shapes() throws {
    for (name, shape, expected) in [
      ("folder.threads.0.k.weight", [3, 4], "[2, 4]"),
      ("folder.fine.0.mlp.weight", [2, 4], "[8, 4]"),
      ("folder.threads.0.v.bias", [3], "[2]"), ("folder.fine.0.v.weight", [0, 4], "[2, 4]"),
    ] {
      let text = fault(edited(with: [Tensor(name, .f32, shape)]))
      #expect(text.contains("'\(name)' has shape \(shape), expected \(expected)"), "\(text)")
    }
    let weights = try part(
      edited(with: [Tensor("folder.threads.0.k.weight", .f32, [3, 4])])
    ).weights
    #expect(weights.shape(of: "threads.0.qkv.weight") == [6, 4])
    let error = #expect(throws: ModelFileError.self) {
      try weights.matrix("threads.0.qkv.weight", rows: 7, columns: 4)
    }
    #expect(error?.fault.contains("do not divide like that") == true)
  }

  @Test("a check finds all parts that are missing or unfit, and no others")
  func verification() throws {
    let tensors = edited(
      without: ["folder.threads.0.q.weight", "folder.fine.0.k.weight"],
      with: [Tensor("folder.threads.0.v.weight", .f32, [1, 4])])
    let problems = try part(tensors).problems { source throws(ModelFileError) in
      try Loom.open(source.weights)
    }.map(\.description)
    #expect(problems.count == 3, "\(problems)")
    for text in [
      "threads.0.q.weight' is missing", "fine.0.k.weight' is missing", "has shape [1, 4]",
    ] {
      #expect(problems.contains { $0.contains(text) }, "\(text)")
    }
  }

  @Test("parts may be of several types, with or without scales")
  func types() throws {
    let (q, k) = ("folder.threads.0.q", "folder.threads.0.k")
    // 1, 2, 0.5, -1 in F8_E4M3.
    let codes: [UInt8] = [0x38, 0x40, 0x30, 0xB8]
    let tensors = edited(
      with: [q, k].map { Tensor($0 + ".weight", .f8_e4m3, [2, 4], codes + codes) },
      adding: [
        Tensor(q + ".weight_scale", [], [2]), Tensor(k + ".weight_scale", [2, 1], [1, 10]),
      ])
    let weights = try part(tensors).weights
    try Loom.open(weights)
    let matrix = try weights.matrix("threads.0.qkv.weight", rows: 6, columns: 4)
    #expect(matrix.scale == .rows([2, 2, 1, 10, 1, 1]))
    let row: [Float] = [1, 2, 0.5, -1]
    let expected =
      [2, 2, 1, 10].flatMap { scale in row.map { scale * $0 } } + Self.values([4, 5])
    #expect(try matrix.decoded() == expected)
    let tensor = try #require(
      try weights.tensors().first { $0.name == "threads.0.qkv.weight" })
    #expect(tensor.type == .f32 && tensor.copiedType == nil && tensor.scale == matrix.scale)
    #expect(tensor.pieces.map(\.scale) == [.all(2), .rows([1, 10]), .one])
    let swapped = try tensor.stored(.halvesSwapped)
    #expect(swapped.scale == .rows([10, 1, 1, 2, 2, 1]))
    // Equal scales stay one.
    let equal = edited(
      with: [Tensor(q + ".weight", .f8_e4m3, [2, 4], codes + codes)],
      adding: [Tensor(q + ".weight_scale", [], [1])])
    #expect(
      try part(equal).weights.matrix("threads.0.qkv.weight", rows: 6, columns: 4).scale == .one)
  }

  @Test("weights in the form of another naming are refused with one line, whatever flag is given")
  func otherForms() throws {
    let one = Tensor("threads.0.qkv.weight", .f32, [6, 4])
    let fused = Loom.names.map { Tensor($0.replacing("{i}", with: "0"), .f32, [1]) }
    for (tensors, name) in [
      (Self.stored + [one], one.name), (fused + [Self.stored[1]], Self.stored[1].name),
    ] {
      let text = fault(tensors)
      #expect(text.contains("'\(name)' of shape") && text.contains("a file must have one form"))
      #expect(!text.contains("\n"))
    }
  }

  @Test("both forms of one tensor are refused where a naming has both")
  func bothForms() throws {
    let either = [
      "warp.weight", "threads.0.qkv.bias", "threads.0.linear.weight", "final.weight", "final.bias",
      "threads.0.q.weight", "threads.0.k.weight", "threads.0.v.weight",
    ].map { Tensor("either." + $0, .f32, [2, 4]) }
    let split = try part(either).weights
    #expect(split.location.scheme == "either")
    #expect(try split.matrix("threads.0.qkv.weight", rows: 6, columns: 4).segments.count == 3)
    let mixed = try part(either + [Tensor("either.threads.0.qkv.weight", .f32, [6, 4])]).weights
    let error = #expect(throws: ModelFileError.self) {
      try mixed.matrix("threads.0.qkv.weight", rows: 6, columns: 4)
    }
    #expect(error?.fault.contains("the same weights in two forms") == true)
    #expect(throws: ModelFileError.self) { try mixed.tensors() }
  }

  @Test("an overlay's matrix takes the place of all parts")
  func overlay() throws {
    let path = try folder.write(
      RawSafetensors.encode([
        Tensor("threads.0.qkv.weight", [6, 4], Self.values(Array(10..<16)))
      ]), to: "overlay.safetensors")
    let weights = try part(Self.stored, overlay: path).weights
    try Loom.open(weights)
    #expect(
      try weights.values("threads.0.qkv.weight", rows: 6, columns: 4)
        == Self.values(Array(10..<16)))
  }

  @Test("importance matrices may name parts, each once")
  func importance() throws {
    func matrix(_ names: [String]) throws -> ImportanceMatrix {
      let tensors = names.flatMap { name in
        [(name + ".in_sum2", [1, 4]), (name + ".counts", [1, 1])]
      }
      let path = folder.path("imatrix.gguf")
      let layout = try GGUFWriter.layout(
        metadata: [("general.type", .string("imatrix"))],
        tensors: tensors.map { TensorDeclaration(name: $0, type: .f32, shape: $1) }, path: path)
      let writer = try TensorFileWriter(path: path, overwrite: true, layout: layout)
      for (_, shape) in tensors {
        let values = [Float](repeating: 2, count: shape[1])
        try values.withUnsafeBytes { try writer.write($0) }
      }
      try writer.finish()
      return try ImportanceMatrix(path: path, in: catalog)
    }
    let parts = ["q", "k", "v"].map { "model.folder.threads.3.\($0).weight" }
    for part in parts { #expect(catalog.canonicalNames(part) == ["threads.3.qkv.weight"]) }
    let found = try matrix(parts)
    #expect(found.count == 1 && found.unknownNames.isEmpty)
    for name in parts + ["threads.3.qkv.weight"] {
      #expect(try found.importance(of: name, columns: 4) == [1, 1, 1, 1])
    }
    #expect(throws: ModelFileError.self) {
      try matrix([parts[0], "folder.threads.3.q.weight"])
    }
  }
}
