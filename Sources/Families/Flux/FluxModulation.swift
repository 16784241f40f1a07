import Compute
import Networks

/// Everything in a FLUX.1 transformer that depends on nothing but time, guidance and the vector of
/// the prompt, for a whole schedule.
///
/// A quarter of the model's parameters make these few vectors; computing them once for all steps
/// saves reading that quarter again at each step. The values are the same.
struct FluxModulation: Sendable {
  /// `[steps · prompts, 6 · hidden]` for each double layer.
  let doubleLayers: [(image: Matrix, text: Matrix)]
  /// `[steps · prompts, 3 · hidden]` for each single layer.
  let singleLayers: [Matrix]
  /// `[steps · prompts, 2 · hidden]`: shift, then scale.
  let final: Matrix
}

/// Shift, scale and gate of one part of a layer; `[1, hidden]` each.
struct PartModulation {
  let shift, scale, gate: Matrix

  /// - Parameters:
  ///   - vectors: `[rows, parts · 3 · hidden]`.
  ///   - row: which of them.
  ///   - part: which three vectors of the row.
  ///   - hidden: width of a vector.
  init(_ vectors: Matrix, row: Int, part: Int = 0, hidden: Int) {
    func vector(_ index: Int) -> Matrix {
      let first = (3 * part + index) * hidden
      return vectors.rows(row..<row + 1).columns(first..<first + hidden)
    }
    (shift, scale, gate) = (vector(0), vector(1), vector(2))
  }
}

extension FluxTransformer {
  /// Evaluates the modulation of all layers for a list of times.
  ///
  /// - Parameters:
  ///   - times: 1 (noise) to 0 (image), one for each step.
  ///   - guidance: strength of the distilled guidance; counts only where there is one.
  ///   - pooled: `[1, pooledWidth]` for each prompt.
  ///   - device: where to compute.
  /// - Returns: the vectors of every layer; those of a step's prompts follow each other.
  /// - Throws: `ComputeError` if memory runs out or the work is cancelled.
  func modulation(
    times: [Float], guidance: Float, pooled: [Matrix], on device: any ComputeDevice
  ) throws(ComputeError) -> FluxModulation {
    let vectors = try inputs(times: times, guidance: guidance, pooled: pooled, on: device)
    func modulation(_ linear: FluxWeights.Linear) throws(ComputeError) -> Matrix {
      let result = try device.matrix(rows: vectors.rows, columns: linear.weight.rows)
      try device.multiply(ProductInput(vectors), by: [linear.product(into: result)])
      return result
    }
    var doubleLayers: [(image: Matrix, text: Matrix)] = []
    for layer in weights.doubleLayers {
      doubleLayers.append(
        (try modulation(layer.image.modulation), try modulation(layer.text.modulation)))
    }
    var singleLayers: [Matrix] = []
    for layer in weights.singleLayers { singleLayers.append(try modulation(layer.modulation)) }
    return FluxModulation(
      doubleLayers: doubleLayers, singleLayers: singleLayers,
      final: try modulation(weights.finalModulation))
  }

  package var modulationReadsPrompts: Bool { true }

  package func modulationInputs(
    _ prompts: [Context], times: [Float], guidance: Float?, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    try inputs(times: times, guidance: guidance ?? 0, pooled: prompts.map(\.pooled), on: device)
  }

  /// What enters every modulation, which begins with the same SiLU.
  private func inputs(
    times: [Float], guidance: Float, pooled: [Matrix], on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let vectors = try conditions(times: times, guidance: guidance, pooled: pooled, on: device)
    try device.apply(.silu, to: vectors)
    return vectors
  }

  /// The sum of the embeddings of time, guidance and prompt, `[steps · prompts, hidden]`.
  func conditions(
    times: [Float], guidance: Float, pooled: [Matrix], on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let result = try device.matrix(
      rows: times.count * pooled.count, columns: configuration.hiddenSize)
    let time = try embedding(of: times, weights.time, on: device)
    if let embedder = weights.guidance {
      let strength = try embedding(of: [guidance], embedder, on: device)
      for step in times.indices { try device.add(strength, to: time.rows(step..<step + 1)) }
    }
    for (prompt, vector) in pooled.enumerated() {
      let text = try embedded(vector, weights.pooled, on: device)
      for step in times.indices {
        let row = step * pooled.count + prompt
        let target = result.rows(row..<row + 1)
        try device.copy(time.rows(step..<step + 1), to: target)
        try device.add(text, to: target)
      }
    }
    return result
  }

  /// Numbers as the transformer is given them. The reference multiplies by 1000 first.
  private func embedding(
    of numbers: [Float], _ embedder: FluxWeights.Embedder, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let waves = numbers.flatMap { number in
      Sinusoids.embedding(width: configuration.timeWidth) { (number * 1000) * $0 }
    }
    let input = try device.matrix(
      waves, rows: numbers.count, columns: configuration.timeWidth)
    return try embedded(input, embedder, on: device)
  }

  private func embedded(
    _ input: Matrix, _ embedder: FluxWeights.Embedder, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let inner = try device.matrix(rows: input.rows, columns: configuration.hiddenSize)
    let result = try device.matrix(rows: input.rows, columns: configuration.hiddenSize)
    try device.multiply(ProductInput(input), by: [embedder.input.product(into: inner)])
    try device.multiply(
      .activated(.silu, inner), by: [embedder.output.product(into: result)])
    return result
  }
}
