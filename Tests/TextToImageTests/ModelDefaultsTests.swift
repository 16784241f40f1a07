import Checkpoints
import Foundation
import TestSupport
import TextToImage
import Testing

@Suite("How a model wants to be used") struct ModelDefaultsTests {
  private let folder: TemporaryFolder

  init() throws { folder = try SeededWeights.pipelineFolder("square") }

  private func opened() throws -> Pipeline {
    try Pipeline(path: folder.path, threadCount: 1)
  }

  /// Opens the model with another scheduler.
  private func scheduled(_ json: String) throws -> Pipeline {
    try folder.write(Array(json.utf8), to: "scheduler/scheduler_config.json")
    return try opened()
  }

  private func fault(_ json: String) -> ModelFileError? {
    do {
      _ = try scheduled(json)
      return nil
    } catch {
      return error as? ModelFileError
    }
  }

  @Test("metadata of a GGUF file come before the family's values")
  func metadata() throws {
    let defaults = try Pipeline(path: try ShippedModel.path(), threadCount: 1).defaults
    #expect((defaults.width, defaults.height, defaults.steps) == (128, 128, 20))
    #expect(defaults.guidanceScale == 3 && defaults.maxSequenceLength == 16)
    #expect(defaults.shift == 1.73)
  }

  @Test("without metadata they are the family's, no larger than the model has positions for")
  func published() throws {
    let pipeline = try opened()
    #expect(pipeline.defaults.steps == 50 && pipeline.defaults.guidanceScale == 3.5)
    #expect(pipeline.defaults.maxSequenceLength == 256)
    #expect(pipeline.defaults.width == pipeline.largestSide)
    #expect(pipeline.defaults.width % pipeline.sizeMultiple == 0)
  }

  @Test("a scheduler's shift counts, and is missed by nobody where it is not there")
  func shift() throws {
    #expect(try scheduled(#"{"shift": 2.5}"#).defaults.shift == 2.5)
    #expect(try scheduled("{}").defaults.shift == 1.73)
  }

  @Test("the folder's scheduler is the default, and a request comes before it")
  func sampler() throws {
    #expect(try opened().defaults.sampler == .euler)
    let pipeline = try scheduled(#"{"_class_name": "FlowMatchHeunDiscreteScheduler", "shift": 2}"#)
    #expect(pipeline.defaults.sampler == .heun)
    var request = GenerationRequest(prompt: "x")
    request.steps = 4
    #expect(try pipeline.settings(for: request).sampler == .heun)
    request.sampling.sampler = .uniPC
    #expect(try pipeline.settings(for: request).sampler == .uniPC)
    let karras = try scheduled(#"{"use_karras_sigmas": true}"#)
    let levels = try karras.settings(for: request).sigmas
    request.sampling.schedule = .karras
    // ComfyUI's ends are others.
    #expect(try karras.settings(for: request).sigmas != levels)
    #expect(try scheduled("{}").settings(for: request).sigmas != levels)
  }

  @Test("a scheduler that cannot be followed is told with what to do, unless a sampler is named")
  func unsupported() throws {
    let pipeline = try scheduled(#"{"_class_name": "EulerDiscreteScheduler"}"#)
    #expect(pipeline.defaults.sampler == nil)
    var request = GenerationRequest(prompt: "x")
    do {
      _ = try pipeline.settings(for: request)
      Issue.record("the scheduler was taken")
    } catch {
      #expect("\(error)".contains("EulerDiscreteScheduler"))
      #expect("\(error)".contains("--sampler euler"))
    }
    request.sampling.sampler = .euler
    let found = try pipeline.settings(for: request).sigmas
    #expect(try scheduled("{}").settings(for: request).sigmas == found)
  }

  @Test("a shift by size is refused where the family has one for all")
  func dynamic() {
    let error = fault(#"{"use_dynamic_shifting": true}"#)
    #expect(error?.kind == .unsupported)
    #expect(error?.path.hasSuffix("scheduler_config.json") == true)
  }

  @Test(
    "numbers of the wrong kind or size are refused",
    arguments: [
      #"{"shift": "1"}"#, #"{"shift": 0}"#, #"{"shift": 1e9}"#, #"{"num_train_timesteps": 0}"#,
      #"{"num_train_timesteps": 1.5}"#, #"{"use_karras_sigmas": "yes"}"#, #"{"flow_shift": 0}"#,
    ])
  func malformed(json: String) { #expect(fault(json)?.kind == .malformed) }

  @Test("options that are off or null change nothing")
  func off() throws {
    let json =
      #"{"use_dynamic_shifting": false, "use_karras_sigmas": null, "shift_terminal": null}"#
    #expect(try scheduled(json).defaults.shift == 1.73)
  }
}
