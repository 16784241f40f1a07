import Checkpoints
import Compute
import ComputeCPU
import Diffusion
import Machine
import ModelCatalog
import TestSupport
import TextToImage
import Testing

@Suite("Memory plans") struct MemoryPlanTests {
  private let pipeline: Pipeline

  init() throws { pipeline = try Pipeline(path: try ShippedModel.path(), threadCount: 2) }

  private func settings(
    side: Int = 128, pictures: Int = 1, guidance: Double = 3
  ) throws -> GenerationSettings {
    var request = GenerationRequest(prompt: "a red apple")
    (request.width, request.height, request.imageCount) = (side, side, pictures)
    (request.guidanceScale, request.steps) = (guidance, 2)
    return try pipeline.settings(for: request)
  }

  @Test("without a limit all weights stay, whatever is made")
  func withoutLimit() throws {
    let plan = pipeline.memoryPlan(for: try settings(pictures: 3), limit: nil)
    #expect(plan.fits && plan.keepsEverything && plan.picturesAtOnce == 1)
    #expect(plan.stages.map(\.name) == ["text encoder", "schedule", "steps", "decoder"])
    #expect(plan.stages.map(\.isRepeated) == [false, false, true, false])
    for stage in plan.stages {
      #expect(stage.keptBytes == stage.weightBytes && stage.passingBytes == 0)
      #expect(stage.weightBytes > 0 && stage.activationBytes > 0)
      #expect(plan.peakBytes(of: stage) <= plan.peakBytes)
    }
  }

  @Test(
    "the least memory is enough, in another process too, and less is not", arguments: [64, 128])
  func least(side: Int) throws {
    let settings = try settings(side: side)
    let least = pipeline.leastMemory(for: settings)
    #expect(pipeline.memoryPlan(for: settings, limit: least).fits)
    // Another process may have a little more resident before.
    #expect(pipeline.memoryPlan(for: settings, limit: least - 512 << 10).fits)
    #expect(!pipeline.memoryPlan(for: settings, limit: least - 2 << 20).fits)
  }

  @Test("more memory keeps as many weights or more, and peaks never pass the limit")
  func monotone() throws {
    let settings = try settings()
    let least = pipeline.leastMemory(for: settings)
    let most = pipeline.memoryPlan(for: settings, limit: nil).peakBytes
    var kept = 0
    for limit in stride(from: least, through: most + most / 20, by: 1 << 20) {
      let plan = pipeline.memoryPlan(for: settings, limit: limit)
      guard plan.fits else { continue }
      #expect(plan.peakBytes <= limit)
      let now = plan.repeatedStage?.keptBytes ?? 0
      #expect(now >= kept, "\(limit)")
      kept = now
    }
    #expect(kept == pipeline.memoryPlan(for: settings, limit: nil).repeatedStage?.keptBytes)
  }

  @Test("pictures go through the steps together only where weights are read again at each step")
  func together() throws {
    let settings = try settings(pictures: 4)
    let roomy = pipeline.memoryPlan(for: settings, limit: nil)
    #expect(roomy.picturesAtOnce == 1 && roomy.repeatedStage?.streamedBytes == 0)
    let limits = stride(from: pipeline.leastMemory(for: settings), to: roomy.peakBytes, by: 1 << 20)
    let plans = limits.map { pipeline.memoryPlan(for: settings, limit: $0) }
    #expect(plans.contains { $0.picturesAtOnce == 4 })
    for plan in plans where plan.picturesAtOnce > 1 {
      #expect(plan.repeatedStage.map { $0.streamedBytes > 0 } == true)
    }
  }

  @Test("larger pictures, more of them and guidance need more")
  func growth() throws {
    func peak(_ settings: GenerationSettings) -> Int {
      pipeline.memoryPlan(for: settings, limit: nil).peakBytes
    }
    let plain = peak(try settings(side: 64))
    #expect(peak(try settings(side: 128)) > plain)
    #expect(peak(try settings(side: 64, pictures: 100)) > plain)
    func steps(_ guidance: Double) throws -> Int {
      let plan = pipeline.memoryPlan(for: try settings(guidance: guidance), limit: nil)
      return plan.repeatedStage?.activationBytes ?? 0
    }
    #expect(try steps(3) > (try steps(1)))
  }

  @Test("what stages hold when they run is what their rehearsal said", arguments: [64, 128])
  func rehearsal(side: Int) throws {
    let settings = try settings(side: side)
    let plan = pipeline.memoryPlan(for: settings, limit: nil)
    let model = try openedModel()
    let held = try heldBytes(model, settings)
    for (stage, bytes) in zip(plan.stages, held) {
      // The plan also counts finished pictures, and what earlier stages hand over.
      let finished = 3 * settings.width * settings.height + (512 << 10)
      #expect(bytes <= stage.activationBytes, "\(stage.name)")
      #expect(stage.activationBytes - finished <= bytes + bytes / 4, "\(stage.name): \(bytes)")
    }
  }

  private func openedModel() throws -> any DiffusionModel {
    let sources = try ModelSources(
      ModelPaths(model: try ShippedModel.path()), hints: ArchitectureHints(), in: .known)
    return try FamilyCatalog.known.open(sources, trainTimesteps: 1000)
  }

  /// The most that buffers held in each stage.
  private func heldBytes<Model: DiffusionModel>(
    _ model: Model, _ settings: GenerationSettings
  ) throws -> [Int] {
    let device = CPUDevice(threadCount: 2)
    let size = LatentSize(
      height: settings.height / model.codec.upscaling, width: settings.width / model.codec.upscaling
    )
    let tokens = [settings.negativePrompt, settings.prompt].map {
      model.conditioner.tokens(of: $0, maximumLength: settings.maxSequenceLength)
    }
    let latents = Latents(channels: model.denoiser.geometry.channels, size: size)
    let times = Array(settings.sigmas.dropLast())
    let meters = (0..<4).map { _ in AllocationMeter() }
    let conditions = try meters[0].measure { () throws(ComputeError) in
      try model.conditioner.condition(tokens, on: device)
    }
    device.releaseMemory()
    let prepared = try meters[1].measure { () throws(ComputeError) in
      try model.denoiser.prepare(conditions, times: times, guidance: nil, size: size, on: device)
    }
    device.releaseMemory()
    try meters[2].measure { () throws(ComputeError) in
      let session = try model.denoiser.session(prepared, prompts: [0, 1], on: device)
      _ = try model.denoiser.predict([latents, latents], session, time: 0, on: device)
    }
    device.releaseMemory()
    _ = try meters[3].measure { () throws(ComputeError) in
      try model.codec.decode(latents, within: nil, on: device)
    }
    return meters.map(\.peakBytes)
  }
}
