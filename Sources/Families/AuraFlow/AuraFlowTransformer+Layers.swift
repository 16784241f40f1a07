import Compute
import Diffusion

extension AuraFlowTransformer: LayeredDenoiser {
  package var layerCount: Int { weights.layerCount }

  package func outline(
    of prompt: Context, on device: any ComputeDevice
  ) throws(ComputeError) -> Context {
    // Only the number of rows is read.
    Context(
      rows: try device.matrix(rows: prompt.rows.rows, columns: 1), padding: prompt.padding)
  }

  package func stageSession(
    _ prompt: Context, size: LatentSize, on device: any ComputeDevice
  ) throws(ComputeError) -> Session {
    try session(of: [prompt], size, nil, feedForwardRows: .max, on: device)
  }

  /// Tokens, attention's result before and after its output projection, and the rows of the
  /// feed-forward part.
  package func matrices(of session: Session) -> [Matrix] {
    let state = session.state
    return [state.tokens, state.attended, state.update, state.gate]
  }

  package func embed(
    _ latents: [Latents], _ session: Session, on device: any ComputeDevice
  ) throws(ComputeError) {
    try writeTokens(latents, session, on: device)
  }

  /// In the order of `AuraFlowState.Stage`; indices are those of `matrices(of:)`.
  package func stages(of layer: Int) -> [LayerStage] {
    let (tokens, attended, update, wide) = (0, 1, 2, 3)
    return [
      LayerStage(reads: [tokens], writes: [attended]),
      LayerStage(reads: [attended], writes: [update]),
      LayerStage(reads: [tokens, update], writes: [wide]),
      LayerStage(reads: [tokens, wide], writes: [tokens]),
    ]
  }

  package func run(
    stage: Int, of layer: Int, _ session: Session, _ modulation: LayerModulation, row: Int,
    on device: any ComputeDevice
  ) throws(ComputeError) {
    guard let stage = AuraFlowState.Stage(rawValue: stage) else {
      preconditionFailure("a layer has no such stage")
    }
    let state = session.state
    try state.run(
      stage, state.streams(of: 0, weights.streams(of: layer), modulation, row: row), on: device)
  }

  package func project(
    _ latents: Latents, _ session: Session, _ modulation: Matrix, row: Int,
    on device: any ComputeDevice
  ) throws(ComputeError) -> Latents {
    latents.with(
      try readTokens(of: 0, session, modulation.rows(row..<row + 1), on: device))
  }
}
