import Checkpoints
import Compute
import ComputeCPU
import Diffusion
import FluxFamily
import Machine
import TestSupport
import Testing

@Suite("FLUX.1 transformer layer by layer")
struct FluxLayersTests {
  private static let size = LatentSize(height: 4, width: 6)
  private static let imageRows = 6
  private let device = CPUDevice(threadCount: 2)

  private func fixture(_ name: String) throws -> ComponentFixture {
    try ComponentFixture(Flux.transformer, of: Flux.family, "flux-transformer/\(name)")
  }

  private func context(
    _ transformer: FluxTransformer, _ name: String, text: Int
  ) throws -> FluxTransformer.Context {
    func matrix(_ part: String, _ rows: Int, _ columns: Int) throws -> Matrix {
      let values = SeededWeights.values("\(name).\(part)", count: rows * columns)
      return try Matrix(values, rows: rows, columns: columns)
    }
    let sizes = transformer.configuration
    return try transformer.context(
      text: matrix("text", text, sizes.textWidth), pooled: matrix("pooled", 1, sizes.pooledWidth),
      on: device)
  }

  // The last passes the feed-forward part of a step in two tiles, that of a stage in one: a row's
  // bits do not depend on those beside it.
  @Test(
    "a branch that passes stage by stage comes to the same bits as in a step",
    arguments: [
      ("heads-16", 5), ("heads-12", 4), ("double-only", 3), ("single-only", 7),
      ("heads-16-schnell", 1100),
    ])
  func stages(name: String, text: Int) throws {
    let fixture = try fixture(name)
    let transformer = try FluxTransformer(fixture.source)
    let contexts = try [
      context(transformer, "other", text: 2), context(transformer, "prompt", text: text),
    ]
    let channels = transformer.configuration.latentChannels
    let values = SeededWeights.values(
      "latents", count: channels * Self.size.height * Self.size.width)
    let latents = Latents(values, channels: channels, size: Self.size)
    let times: [Float] = [1, 0.6, 0.2]
    let guidance: Float? = transformer.isGuidanceDistilled ? 3.5 : nil
    let prepared = try transformer.prepare(
      contexts, times: times, guidance: guidance, size: Self.size, on: device)
    let session = try transformer.session(prepared, prompts: [0, 1], on: device)
    let expected = try transformer.predict([latents, latents], session, time: 1, on: device)[1]
    let inputs = try transformer.modulationInputs(
      contexts, times: times, guidance: guidance, on: device)
    // Two prompts at each time: the second of the second time.
    let found = try transformer.stagedPrediction(
      latents, contexts[1], inputs: inputs, row: 3, on: device)
    #expect(found.isFinite && found == expected)
  }

  /// Our names of the weights of a layer.
  private func names(_ layer: Int, doubleLayers: Int) -> [String] {
    guard layer < doubleLayers else {
      let stack = "single_blocks.\(layer - doubleLayers)"
      return ["\(stack).linear1.weight", "\(stack).linear2.weight"]
    }
    return ["txt", "img"].flatMap { stream in
      ["attn.qkv", "attn.proj", "mlp.0", "mlp.2"].map {
        "double_blocks.\(layer).\(stream)_\($0).weight"
      }
    }
  }

  @Test("every row that enters a weight has a number above 0", arguments: ["heads-16", "heads-12"])
  func countsOfRowWeights(name: String) throws {
    let fixture = try fixture(name)
    let transformer = try FluxTransformer(fixture.source)
    let context = try context(transformer, "prompt", text: 3)
    let session = try transformer.stageSession(context, size: Self.size, on: device)
    let rehearsal = RehearsalDevice(of: device)
    let inputs = try rehearsal.matrix(rows: 1, columns: transformer.configuration.hiddenSize)
    for layer in 0..<transformer.layerCount {
      var work = 0.0
      for name in names(layer, doubleLayers: transformer.layerCounts[0]) {
        let weights = transformer.rowWeights(of: name, in: layer, session)
        #expect(weights.allSatisfy { $0 > 0 })
        let elements = try #require(fixture.source.weights.shape(of: name)).reduce(1, *)
        work += 2 * Double(weights.count * elements)
      }
      let expected = try transformer.stagedWork(
        of: layer, context, inputs: inputs, size: Self.size, on: rehearsal)
      #expect(work == expected)
    }
  }

  @Test("text counts less in single layers, and next to nothing where nothing reads it")
  func rowWeights() throws {
    let fixture = try fixture("heads-16")
    let transformer = try FluxTransformer(fixture.source)
    let outline = try transformer.outline(
      of: try context(transformer, "prompt", text: 3), on: device)
    let session = try transformer.stageSession(outline, size: Self.size, on: device)
    func weights(_ name: String, _ layer: Int) -> [Float] {
      transformer.rowWeights(of: name + ".weight", in: layer, session)
    }
    let ones = [Float](repeating: 1, count: Self.imageRows)
    #expect(weights("double_blocks.1.txt_attn.qkv", 1) == [1, 1, 1])
    #expect(weights("double_blocks.0.txt_mlp.2", 0) == [1, 1, 1])
    #expect(weights("double_blocks.1.img_mlp.0", 1) == ones)
    #expect(weights("single_blocks.1.linear2", 3) == [0.1, 0.1, 0.1] + ones)
    #expect(weights("single_blocks.2.linear1", 4) == [0.1, 0.1, 0.1] + ones)
    #expect(weights("single_blocks.2.linear2", 4) == [1e-4, 1e-4, 1e-4] + ones)
  }
}
