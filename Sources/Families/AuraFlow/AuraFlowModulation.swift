import Foundation
import Tensors

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

/// The vectors by which one layer adapts one stream at one step; each of `hidden` floats.
struct LayerModulation {
  let values: UnsafePointer<Float>
  let hiddenSize: Int

  var attentionShift: UnsafePointer<Float> { values }
  var attentionScale: UnsafePointer<Float> { values + hiddenSize }
  var attentionGate: UnsafePointer<Float> { values + 2 * hiddenSize }
  var feedForwardShift: UnsafePointer<Float> { values + 3 * hiddenSize }
  var feedForwardScale: UnsafePointer<Float> { values + 4 * hiddenSize }
  var feedForwardGate: UnsafePointer<Float> { values + 5 * hiddenSize }
}

extension AuraFlowTransformer {
  /// Evaluates the modulation of all layers for a list of times.
  ///
  /// - Parameters:
  ///   - times: 1 (noise) to 0 (image), one for each step.
  ///   - pool: threads to compute on.
  /// - Returns: the vectors of every layer.
  /// - Throws: `ComputeError` if memory runs out or the pool is cancelled.
  package func modulation(
    times: [Float], on pool: ThreadPool
  ) throws(ComputeError) -> AuraFlowModulation {
    let hidden = configuration.hiddenSize
    let embedding = try Matrix(
      times.flatMap { Self.sinusoids(time: $0, width: configuration.timeWidth) },
      rows: times.count, columns: configuration.timeWidth)
    let inner = try Matrix(rows: times.count, columns: hidden)
    let time = try Matrix(rows: times.count, columns: hidden)
    try multiply(
      embedding, by: weights.timeInput.weight, bias: weights.timeInput.bias, into: inner, on: pool)
    try activate(.silu, to: inner, on: pool)
    try multiply(
      inner, by: weights.timeOutput.weight, bias: weights.timeOutput.bias, into: time, on: pool)
    // Every modulation begins with the same SiLU.
    try activate(.silu, to: time, on: pool)
    func vectors(_ weight: WeightMatrix) throws(ComputeError) -> Matrix {
      let result = try Matrix(rows: times.count, columns: weight.rows)
      try multiply(time, by: weight, into: result, on: pool)
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

  /// Cosines, then sines, of 1000 · time at geometrically falling frequencies.
  ///
  /// Angles reach 1000, so one unit in the last place of a frequency shows in the latents (1e-4
  /// at strong guidance): frequencies must have the very bits of the reference.
  ///
  /// - SeeAlso: diffusers `models/embeddings.py` `get_timestep_embedding`, commit 58eb52c0
  ///   (`scale` 1000, `flip_sin_to_cos`, `downscale_freq_shift` 0).
  static func sinusoids(time: Float, width: Int) -> [Float] {
    let angles = frequencies(count: width / 2).map { 1000 * (time * $0) }
    return angles.map { cosf($0) } + angles.map { sinf($0) }
  }

  /// `exp(−ln(10000) · i / count)` in float32, as PyTorch's CPU build computes it.
  ///
  /// Its exponential (MKL's) errs by up to 0.52 units in the last place: of the 128 frequencies of
  /// every published model, the two that lie closest to the middle between two floats come out one
  /// unit higher than correct rounding gives.
  package static func frequencies(count: Int) -> [Float] {
    (0..<count).map { index in
      let exponent = Float(-log(10_000.0)) * Float(index) / Float(count)
      let rounded = Float(exp(Double(exponent)))
      return count == 128 && (index == 12 || index == 106) ? rounded.nextUp : rounded
    }
  }
}
