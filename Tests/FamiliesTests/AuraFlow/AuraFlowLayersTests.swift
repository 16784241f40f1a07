import AuraFlowFamily
import Checkpoints
import Compute
import ComputeCPU
import Diffusion
import Machine
import TestSupport
import Testing

@Suite("AuraFlow transformer layer by layer")
struct AuraFlowLayersTests {
  private static let size = LatentSize(height: 4, width: 6)
  private static let imageRows = 6
  private static let registers = 8
  private let device = CPUDevice(threadCount: 2)

  private func context(
    _ transformer: AuraFlowTransformer, text: Int, padding: Int
  ) throws -> AuraFlowTransformer.Context {
    let width = transformer.configuration.textWidth
    let values = SeededWeights.values("text", count: text * width)
    return try transformer.context(
      text: try Matrix(values, rows: text, columns: width), padding: padding, on: device)
  }

  private func latents(_ transformer: AuraFlowTransformer) -> Latents {
    let channels = transformer.configuration.latentChannels
    let count = channels * Self.size.height * Self.size.width
    return Latents(
      SeededWeights.values("latents", count: count), channels: channels, size: Self.size)
  }

  // The last passes the feed-forward part of a step in two tiles, that of a stage in one: a row's
  // bits do not depend on those beside it.
  @Test(
    "a branch that passes stage by stage comes to the same bits as in a step",
    arguments: [
      ("heads-16", 5, 7), ("heads-40", 3, 0), ("heads-64", 2, 1), ("heads-8", 1100, 3),
    ])
  func stages(name: String, text: Int, padding: Int) throws {
    let fixture = try ComponentFixture(.transformer, "transformer/\(name)")
    let transformer = try AuraFlowTransformer(fixture.source)
    let context = try context(transformer, text: text, padding: padding)
    let latents = latents(transformer)
    let times: [Float] = [1, 0.6, 0.2]
    let prepared = try transformer.prepare(
      [context], times: times, guidance: nil, size: Self.size, on: device)
    let session = try transformer.session(prepared, prompts: [0], on: device)
    let expected = try transformer.predict([latents], session, time: 1, on: device)[0]
    let inputs = try transformer.modulationInputs(
      [context], times: times, guidance: nil, on: device)
    let found = try transformer.stagedPrediction(
      latents, context, inputs: inputs, row: 1, on: device)
    #expect(found.isFinite && found == expected)
  }

  private static let feedForward = ["c_fc1", "c_fc2", "c_proj"]

  /// Our names of the weights of a layer.
  private func names(_ layer: Int, doubleLayers: Int) -> [String] {
    let isDouble = layer < doubleLayers
    let stack = isDouble ? "double_layers.\(layer)" : "single_layers.\(layer - doubleLayers)"
    let parts = (isDouble ? ["attn.w1", "attn.w2"] : ["attn.w1"]).flatMap { part in
      ["q", "k", "v", "o"].map { part + $0 }
    }
    let wide = (isDouble ? ["mlpC.", "mlpX."] : ["mlp."]).flatMap { part in
      Self.feedForward.map { part + $0 }
    }
    return (parts + wide).map { "\(stack).\($0).weight" }
  }

  @Test("every row that enters a weight has a number above 0", arguments: ["heads-16", "heads-40"])
  func countsOfRowWeights(name: String) throws {
    let fixture = try ComponentFixture(.transformer, "transformer/\(name)")
    let transformer = try AuraFlowTransformer(fixture.source)
    let context = try context(transformer, text: 3, padding: 5)
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

  @Test("rows count by their kind, and the one of the padding for all of it")
  func rowWeights() throws {
    let fixture = try ComponentFixture(.transformer, "transformer/heads-8")
    let transformer = try AuraFlowTransformer(fixture.source)
    func weights(_ name: String, _ layer: Int, padding: Int) throws -> [Float] {
      let outline = try transformer.outline(
        of: try context(transformer, text: 3, padding: padding), on: device)
      let session = try transformer.stageSession(outline, size: Self.size, on: device)
      return transformer.rowWeights(of: name + ".weight", in: layer, session)
    }
    func rows(_ registers: Float, _ text: Float, _ padding: [Float], image: Bool) -> [Float] {
      Array(repeating: registers, count: Self.registers) + Array(repeating: text, count: 3)
        + padding + Array(repeating: 1, count: image ? Self.imageRows : 0)
    }
    let ones = [Float](repeating: 1, count: Self.imageRows)
    for name in ["attn.w1q", "attn.w1k", "attn.w1o", "mlpC.c_fc1", "mlpC.c_proj"] {
      let found = try weights("double_layers.0.\(name)", 0, padding: 5)
      #expect(found == rows(0.1, 1, [0.1 * 5], image: false))
    }
    for name in ["attn.w2v", "mlpX.c_proj"] {
      #expect(try weights("double_layers.0.\(name)", 0, padding: 5) == ones)
    }
    for name in ["attn.w1k", "attn.w1v"] {
      let found = try weights("single_layers.1.\(name)", 2, padding: 0)
      #expect(found == rows(0.03, 0.1, [], image: true))
    }
    for name in ["attn.w1q", "attn.w1o", "mlp.c_fc1", "mlp.c_fc2", "mlp.c_proj"] {
      let found = try weights("single_layers.2.\(name)", 3, padding: 9)
      #expect(found == rows(1e-4, 1e-4, [1e-4 * 9], image: true))
    }
  }
}
