import Compute
import Networks

/// Everything in an AuraFlow transformer that depends on the time alone, for a whole schedule.
///
/// A third of the model's parameters make these few vectors; computing them once for all steps
/// saves reading that third again at each step. The values are the same.
package struct AuraFlowModulation: Sendable {
  /// `[steps, 6 · hidden]` for each double layer.
  let doubleLayers: [(context: Matrix, image: Matrix)]
  /// `[steps, 6 · hidden]` for each single layer.
  let singleLayers: [Matrix]
  /// `[steps, 2 · hidden]`: shift, then scale.
  let final: Matrix
}

/// The vectors by which one layer adapts one stream at one step; `[1, hidden]` each.
struct LayerModulation {
  /// `[1, 6 · hidden]`.
  private let vectors: Matrix

  /// - Parameters:
  ///   - schedule: `[steps, 6 · hidden]`.
  ///   - step: which of them.
  init(_ schedule: Matrix, step: Int) { vectors = schedule.rows(step..<step + 1) }

  private func part(_ index: Int) -> Matrix {
    let hidden = vectors.columns / 6
    return vectors.columns(index * hidden..<(index + 1) * hidden)
  }

  var attentionShift: Matrix { part(0) }
  var attentionScale: Matrix { part(1) }
  var attentionGate: Matrix { part(2) }
  var feedForwardShift: Matrix { part(3) }
  var feedForwardScale: Matrix { part(4) }
  var feedForwardGate: Matrix { part(5) }
}

extension AuraFlowTransformer {
  /// Evaluates the modulation of all layers for a list of times.
  ///
  /// - Parameters:
  ///   - times: 1 (noise) to 0 (image), one for each step.
  ///   - device: where to compute.
  /// - Returns: the vectors of every layer.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  package func modulation(
    times: [Float], on device: any ComputeDevice
  ) throws(ComputeError) -> AuraFlowModulation {
    let time = try inputs(times: times, on: device)
    func vectors(_ weight: WeightMatrix) throws(ComputeError) -> Matrix {
      let result = try device.matrix(rows: times.count, columns: weight.rows)
      try device.multiply(time, by: weight, into: result)
      return result
    }
    var doubleLayers: [(context: Matrix, image: Matrix)] = []
    for layer in weights.doubleLayers {
      doubleLayers.append(
        (try vectors(layer.context.modulation), try vectors(layer.image.modulation)))
    }
    var singleLayers: [Matrix] = []
    for layer in weights.singleLayers { singleLayers.append(try vectors(layer.modulation)) }
    return AuraFlowModulation(
      doubleLayers: doubleLayers, singleLayers: singleLayers,
      final: try vectors(weights.finalModulation))
  }

  package var modulationReadsPrompts: Bool { false }

  package func modulationInputs(
    _ prompts: [Context], times: [Float], guidance: Float?, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    try inputs(times: times, on: device)
  }

  /// What enters every modulation, `[times, hidden]`.
  private func inputs(
    times: [Float], on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let hidden = configuration.hiddenSize
    let embedding = try device.matrix(
      times.flatMap { time in
        Sinusoids.embedding(width: configuration.timeWidth) { 1000 * (time * $0) }
      },
      rows: times.count, columns: configuration.timeWidth)
    let inner = try device.matrix(rows: times.count, columns: hidden)
    let time = try device.matrix(rows: times.count, columns: hidden)
    try device.multiply(
      embedding, by: weights.timeInput.weight, bias: weights.timeInput.bias, into: inner)
    try device.apply(.silu, to: inner)
    try device.multiply(
      inner, by: weights.timeOutput.weight, bias: weights.timeOutput.bias, into: time)
    // Every modulation begins with the same SiLU.
    try device.apply(.silu, to: time)
    return time
  }
}
