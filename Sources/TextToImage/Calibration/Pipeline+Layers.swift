import Compute
import Diffusion
import Foundation
import Machine
import ModelFiles

extension Pipeline {
  /// Takes the points of a calibration through the denoiser's layers, off the cooperative threads,
  /// when it is this caller's turn.
  ///
  /// - Parameters:
  ///   - requests: of the points.
  ///   - hasTargets: whether there is a stream of rounded weights beside the exact one.
  ///   - scratch: makes the file for what lies between stages.
  ///   - body: what to do.
  /// - Returns: what `body` returns.
  /// - Throws: what `body` throws; `GenerationError` for requests that cannot be met, and families
  ///   whose denoiser has no such layers.
  package func passingLayers<Value: Sendable>(
    for requests: [GenerationRequest], hasTargets: Bool,
    scratch: @escaping @Sendable (_ byteCount: Int) throws(ModelFileError) -> ScratchFile,
    _ body: @escaping @Sendable (any LayerPassing) throws -> Value
  ) async throws -> Value {
    var settings: [GenerationSettings] = []
    for request in requests { settings.append(try self.settings(for: request)) }
    let all = settings
    try await enterQueue()
    defer { queue.leave() }
    let device = device()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global(qos: .userInitiated).async {
          continuation.resume(
            with: Result {
              try body(try self.layerPass(all, hasTargets, on: device, scratch))
            })
        }
      }
    } onCancel: {
      device.pool.cancel()
    }
  }

  private func layerPass(
    _ settings: [GenerationSettings], _ hasTargets: Bool, on device: any ComputeDevice,
    _ scratch: (_ byteCount: Int) throws(ModelFileError) -> ScratchFile
  ) throws(GenerationError) -> any LayerPassing {
    guard let model = model as? any LayeredModel else {
      throw .invalidRequest("models of this family cannot be calibrated")
    }
    func pass<Model: LayeredModel>(
      _ model: Model
    ) throws(GenerationError) -> any LayerPassing {
      try LayerPass(
        model, settings.map { PreparedRequest(model, $0) }, hasTargets: hasTargets, on: device,
        scratch: scratch)
    }
    return try pass(model)
  }
}
