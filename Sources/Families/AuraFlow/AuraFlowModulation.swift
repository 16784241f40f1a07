import Compute
import Networks

/// Everything in an AuraFlow transformer that depends on the time alone, for a whole schedule.
///
/// A third of the model's parameters make these few vectors; computing them once for all steps
/// saves reading that third again at each step. The values are the same.
package struct AuraFlowModulation: Sendable {
  /// Of every layer, the double ones first; a row for each step.
  let layers: [AuraFlowTransformer.LayerModulation]
  /// `[steps, 2 · hidden]`: shift, then scale.
  let final: Matrix
}

/// The vectors by which one layer adapts one stream at one step; `[1, hidden]` each.
struct StreamModulation {
  /// `[1, 6 · hidden]`.
  private let vectors: Matrix

  /// - Parameters:
  ///   - schedule: `[steps, 6 · hidden]`.
  ///   - row: which of them.
  init(_ schedule: Matrix, row: Int) { vectors = schedule.rows(row..<row + 1) }

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
  /// The vectors by which one layer adapts tokens, for some rows of `modulationInputs`.
  package struct LayerModulation: Sendable {
    /// `[rows, 6 · hidden]` for each stream of the layer: context and image, or all tokens.
    let streams: [Matrix]
  }

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
    var layers: [LayerModulation] = []
    for layer in 0..<weights.layerCount {
      layers.append(try vectors(of: layer, for: time, on: device))
    }
    return AuraFlowModulation(
      layers: layers, final: try vectors(weights.finalModulation, for: time, on: device))
  }

  package func modulation(
    of layer: Int, for inputs: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) -> LayerModulation {
    try vectors(of: layer, for: inputs, on: device)
  }

  package func finalModulation(
    for inputs: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    try vectors(weights.finalModulation, for: inputs, on: device)
  }

  /// The modulation of a layer for each row of `inputs`.
  private func vectors(
    of layer: Int, for inputs: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) -> LayerModulation {
    var streams: [Matrix] = []
    for stream in weights.streams(of: layer) {
      streams.append(try vectors(stream.modulation, for: inputs, on: device))
    }
    return LayerModulation(streams: streams)
  }

  private func vectors(
    _ weight: WeightMatrix, for inputs: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let result = try device.matrix(rows: inputs.rows, columns: weight.rows)
    try device.multiply(inputs, by: weight, into: result)
    return result
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
