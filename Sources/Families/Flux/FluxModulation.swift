import Compute
import Networks

/// Everything in a FLUX.1 transformer that depends on nothing but time, guidance and the vector of
/// the prompt, for a whole schedule.
///
/// A quarter of the model's parameters make these few vectors; computing them once for all steps
/// saves reading that quarter again at each step. The values are the same.
struct FluxModulation: Sendable {
  /// Of every layer, the double ones first; a row for each step and prompt.
  let layers: [FluxTransformer.LayerModulation]
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
  /// The vectors by which one layer adapts tokens, for some rows of `modulationInputs`.
  package enum LayerModulation: Sendable {
    /// `[rows, 6 · hidden]` each.
    case double(text: Matrix, image: Matrix)
    /// `[rows, 3 · hidden]`.
    case single(Matrix)
  }

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
    let inputs = try inputs(times: times, guidance: guidance, pooled: pooled, on: device)
    var layers: [LayerModulation] = []
    for layer in 0..<weights.layerCount {
      layers.append(try vectors(of: layer, for: inputs, on: device))
    }
    return FluxModulation(
      layers: layers, final: try vectors(weights.finalModulation, for: inputs, on: device))
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
    switch weights.layer(layer) {
    case .double(let layer):
      // Weights are read ahead in this order.
      let image = try vectors(layer.image.modulation, for: inputs, on: device)
      return .double(
        text: try vectors(layer.text.modulation, for: inputs, on: device), image: image)
    case .single(let layer):
      return .single(try vectors(layer.modulation, for: inputs, on: device))
    }
  }

  private func vectors(
    _ linear: FluxWeights.Linear, for inputs: Matrix, on device: any ComputeDevice
  ) throws(ComputeError) -> Matrix {
    let result = try device.matrix(rows: inputs.rows, columns: linear.weight.rows)
    try device.multiply(ProductInput(inputs), by: [linear.product(into: result)])
    return result
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
