import Compute
import Diffusion

extension FluxTransformer: LayeredDenoiser {
  package var layerCount: Int { weights.layerCount }

  package func outline(
    of prompt: Context, on device: any ComputeDevice
  ) throws(ComputeError) -> Context {
    // Only the number of rows is read, but the vector enters every modulation.
    Context(
      rows: try device.matrix(rows: prompt.rows.rows, columns: 1), pooled: prompt.pooled)
  }

  package func stageSession(
    _ prompt: Context, size: LatentSize, on device: any ComputeDevice
  ) throws(ComputeError) -> Session {
    try stageMemory(prompt, size, on: device)
  }

  /// Tokens, attention's result, and the rows of the feed-forward part.
  package func matrices(of session: Session) -> [Matrix] {
    let state = session.state
    return [state.tokens, state.attended, state.inner]
  }

  package func embed(
    _ latents: [Latents], _ session: Session, on device: any ComputeDevice
  ) throws(ComputeError) {
    try writeTokens(latents, session, on: device)
  }

  package func stages(of layer: Int) -> [LayerStage] { passages(of: layer).map(\.stage) }

  package func run(
    stage: Int, of layer: Int, _ session: Session, _ modulation: LayerModulation, row: Int,
    on device: any ComputeDevice
  ) throws(ComputeError) {
    let state = session.state
    let streams = FluxStream.streams(
      of: 0, in: state.layout, weights.layer(layer), modulation, row: row)
    try state.run(passages(of: layer)[stage].parts, streams, on: device)
  }

  package func project(
    _ latents: Latents, _ session: Session, _ modulation: Matrix, row: Int,
    on device: any ComputeDevice
  ) throws(ComputeError) -> Latents {
    latents.with(
      try readTokens(of: 0, session, modulation.rows(row..<row + 1), on: device))
  }

  /// The stages of a layer with what runs in each; indices are those of `matrices(of:)`.
  private func passages(of layer: Int) -> [(parts: [FluxState.Part], stage: LayerStage)] {
    let (tokens, attended, wide) = (0, 1, 2)
    switch weights.layer(layer) {
    case .double:
      return [
        ([.attention], LayerStage(reads: [tokens], writes: [attended])),
        ([.projection], LayerStage(reads: [tokens, attended], writes: [tokens])),
        ([.expansion], LayerStage(reads: [tokens], writes: [wide])),
        ([.contraction], LayerStage(reads: [tokens, wide], writes: [tokens])),
      ]
    case .single:
      // The feed-forward part runs beside attention.
      return [
        ([.attention, .expansion], LayerStage(reads: [tokens], writes: [attended, wide])),
        ([.contraction], LayerStage(reads: [tokens, attended, wide], writes: [tokens])),
      ]
    }
  }
}
