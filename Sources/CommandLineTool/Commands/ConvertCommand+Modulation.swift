import BitAllocation
import Checkpoints
import Conversion
import Foundation
import LinearAlgebra
import Machine
import ModelCatalog
import ModelFiles
import TextToImage

/// Types of the modulation, for `--preset fitted`.
extension ConvertCommand {
  /// Plans a conversion; with the preset, to types of the modulation that add next to nothing to
  /// what the file's own type loses.
  ///
  /// - Parameters:
  ///   - source: the model.
  ///   - request: what to make of it.
  /// - Returns: the plan, and what enters the modulation; nil for other presets.
  /// - Throws: `ConversionError` where that cannot be known, and what planning throws.
  func fittedPlan(
    _ source: ConversionSource, _ request: ConversionPlan.Request
  ) async throws -> (plan: ConversionPlan, modulation: ModulationInputs?) {
    let path = output ?? input
    let draft = try ConversionPlan(source, request, path: path)
    guard preset == .fitted else { return (draft, nil) }
    guard let inputs = try await modulationInputs(for: draft) else {
      throw ConversionError.unusable("--preset fitted: this part has no modulation")
    }
    let rounding = RoundingErrors(
      importance: nil, modulation: inputs, quality: quality,
      on: ThreadPool(threadCount: common.threadCount))
    var request = request
    for tensor in draft.tensors where tensor.role == .modulation && tensor.isChoosable {
      let types = RoundingErrors.types(for: tensor).filter {
        $0.bitsPerElement < tensor.type.bitsPerElement
      }
      let errors = try rounding.errors(of: tensor, as: types)
      let limit = Self.shareOfError * (tensor.type.weightError ?? Self.plainError)
      request.chosenTypes[tensor.source.name] =
        zip(types, errors).first { $1.squareRoot() <= limit }?.0 ?? tensor.type
    }
    return (try ConversionPlan(source, request, path: path), inputs)
  }

  /// What modulation may lose, of what the file's type loses of any matrix: together they lose a
  /// twentieth more.
  private static let shareOfError = 1.0 / 3
  /// As if plain numbers lost as much.
  private static let plainError = 0.03

  /// Evaluates the inputs that the modulation is rounded for.
  ///
  /// - Parameter plan: the conversion.
  /// - Returns: nil where there is no modulation.
  /// - Throws: `ConversionError` where they cannot be known.
  private func modulationInputs(
    for plan: ConversionPlan
  ) async throws -> ModulationInputs? {
    guard plan.tensors.contains(where: { $0.role == .modulation }) else { return nil }
    guard OpenBLAS.shared != nil else {
      throw ConversionError.unusable("--preset fitted: \(OpenBLAS.absence)")
    }
    let inputs: ModulationInputs?
    if part == .all {
      let pipeline = try Pipeline(
        parts.paths(model: input), hints: parts.hints(), threadCount: common.threads,
        activations: .exact, memory: memory.memory.budget)
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
