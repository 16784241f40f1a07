import BitAllocation
import BlockFormats
import Checkpoints
import Conversion
import Machine
import ModelFiles
import Synchronization
import TestSupport
import Testing
import TextToImage

/// Modulation matrices that are rounded for what enters them.
@Suite("Modulation with error feedback")
struct ModulationInputsTests {
  private let folder: TemporaryFolder
  private let model: String
  private let source: ConversionSource
  private let pool = ThreadPool(threadCount: 2)

  init() throws {
    folder = try TemporaryFolder()
    model = try ShippedModel.path()
    source = try ConversionSource(
      .all, paths: ModelPaths(model: model), hints: ArchitectureHints(), in: .known)
  }

  private func pipeline(_ overlay: String? = nil) throws -> Pipeline {
    var paths = ModelPaths(model: model)
    paths.overlays = overlay.map { [$0] } ?? []
    return try Pipeline(paths, threadCount: 2, activations: .exact)
  }

  private var request: GenerationRequest {
    var request = GenerationRequest(prompt: "a red apple on a black background")
    request.steps = 6
    return request
  }

  /// Latents before each step.
  private func path(_ pipeline: Pipeline) async throws -> [TrajectoryPoint] {
    let latents = Mutex([try pipeline.initialLatents(for: request)])
    _ = try await pipeline.generate(
      request,
      onProgress: { progress in
        guard progress.stage == .denoising else { return }
        latents.withLock { $0.append(progress.latents[0]) }
      })
    return latents.withLock { $0 }.prefix(6).enumerated().map {
      TrajectoryPoint(step: $0, latents: $1)
    }
  }

  @Test("all of it in 2 bits costs less than 0.008 of the velocities, 15 times less than without")
  func modulation() async throws {
    let exact = try pipeline()
    let plan = try ConversionPlan(
      source, ConversionPlan.Request(try #require(TypeMix(named: "f16"))), path: "x")
    let matrices = plan.tensors.filter { $0.role == .modulation }.map {
      (source: $0.source, type: ElementType.q2_K)
    }
    #expect(matrices.count == 8)
    let inputs = try #require(try await ModulationInputs(plan, exact, [request]))
    let points = try await path(exact)
    let expected = try await exact.velocities(of: request, at: points) { _ in }
    var errors: [Double] = []
    for usesInputs in [false, true] {
      var options = ConversionOptions()
      if usesInputs { options.use(inputs) }
      let path = folder.path("\(usesInputs).gguf")
      let outcomes = try Converter.write(
        try ConversionPlan(overlay: matrices, of: plan, path: path), to: path, overwrite: false,
        options: options, on: pool, progress: { _, _ in })
      for outcome in outcomes {
        // Two bits leave a third of the weights' size, and far less of the products.
        #expect((outcome.productError == nil) == !usesInputs)
        #expect(outcome.productError ?? 0 < 0.02, "\(outcome.name)")
        #expect((0.2...0.6).contains(try #require(outcome.relativeError)), "\(outcome.name)")
      }
      let found = try await pipeline(path).velocities(of: request, at: points) { _ in }
      let distances = zip(found, expected).map { relativeDistance($0, $1) }.sorted()
      errors.append(distances[distances.count / 2])
    }
    #expect(errors[1] < 0.008 && errors[1] < errors[0] / 15, "\(errors)")
  }

  @Test("other matrices, and others' columns, have no inputs; damaged ones are none")
  func names() async throws {
    let plan = try ConversionPlan(
      source, ConversionPlan.Request(try #require(TypeMix(named: "q8_0"))), path: "x")
    let found = try await ModulationInputs(plan, try pipeline(), [request])
    let inputs = try #require(found)
    #expect(inputs.inputs(of: "single_layers.0.modCX.1.weight", columns: 256)?.columns == 256)
    #expect(inputs.inputs(of: "single_layers.0.modCX.1.weight", columns: 512) == nil)
    #expect(inputs.inputs(of: "single_layers.0.attn.w1q.weight", columns: 256) == nil)
    #expect(try await ModulationInputs(plan, try pipeline(), []) == nil)
  }
}
