import BitAllocation
import Checkpoints
import Conversion
import Foundation
import LinearAlgebra
import Machine
import ModelCatalog
import ModelFiles
import TextToImage

/// What enters the modulation, for `--preset fitted`.
extension ConvertCommand {
  /// Evaluates the inputs that the modulation is rounded for.
  ///
  /// - Parameters:
  ///   - plan: the conversion.
  ///   - pipeline: the whole model, where it is converted.
  /// - Returns: nil for other presets.
  /// - Throws: `ConversionError` where they cannot be known.
  func modulationInputs(
    for plan: ConversionPlan, _ pipeline: Pipeline?
  ) async throws -> ModulationInputs? {
    guard preset == .fitted else { return nil }
    guard OpenBLAS.shared != nil else {
      throw ConversionError.unusable(
        "--preset fitted needs OpenBLAS: install libopenblas0 (apt-get install libopenblas0)")
    }
    guard plan.tensors.contains(where: { $0.role == .modulation }) else { return nil }
    let inputs: ModulationInputs?
    if let pipeline {
      let prompts = BuiltInPrompts.lines(forModel: pipeline.files).map(\.text)
      inputs = try await ModulationInputs(
        plan, pipeline, prompts.map { Self.request($0, pipeline) })
    } else {
      let path = parts.named.first { $0.option == plan.family.denoiser.option }?.path ?? input
      let denoiser = try FamilyCatalog.known.denoiser(at: path)
      guard !denoiser.modulationReadsPrompts else {
        throw ConversionError.unusable(
          "--preset fitted: the modulation of \(plan.family.modelPhrase) depends on prompts, so the "
            + "whole model is needed: convert without --part")
      }
      inputs = try ModulationInputs(
        plan, denoiser, on: ThreadPool(threadCount: common.threadCount))
    }
    guard let inputs else {
      throw ConversionError.unusable(
        "--preset fitted: what enters the modulation is not finite; the transformer is damaged")
    }
    return inputs
  }

  /// A request whose prompt counts; its picture is never made.
  private static func request(_ prompt: String, _ pipeline: Pipeline) -> GenerationRequest {
    var request = GenerationRequest(prompt: prompt)
    (request.width, request.height) = (pipeline.sizeMultiple, pipeline.sizeMultiple)
    request.steps = 1
    return request
  }
}
