import Compute
import Diffusion

extension LayeredDenoiser {
  /// What the network says of one branch when it passes stage by stage, as calibration lets it.
  ///
  /// Every stage has a session of its own, made of the prompt's outline: it knows nothing but what
  /// it says it reads, the rest is NaN, and nothing is kept but what it says it writes.
  ///
  /// - Parameters:
  ///   - latents: of the branch.
  ///   - prompt: of the branch.
  ///   - inputs: of the modulation.
  ///   - row: the row of them that counts.
  ///   - device: where to compute.
  /// - Returns: the prediction.
  /// - Throws: what computing throws.
  package func stagedPrediction(
    _ latents: Latents, _ prompt: Conditioning, inputs: Matrix, row: Int,
    on device: any ComputeDevice
  ) throws -> Latents {
    let outline = try outline(of: prompt, on: device)
    let first = try stageSession(prompt, size: latents.size, on: device)
    try embed([latents], first, on: device)
    let kept = matrices(of: first)
    for matrix in kept.dropFirst() { try spoil(matrix, on: device) }
    // All of them live to the end: none gets the memory of another, with values in it.
    var sessions: [Session] = []
    func session(reading places: [Int]) throws -> Session {
      let session = try stageSession(outline, size: latents.size, on: device)
      sessions.append(session)
      for (place, matrix) in matrices(of: session).enumerated() {
        guard places.contains(place) else {
          try spoil(matrix, on: device)
          continue
        }
        try device.copy(kept[place], to: matrix)
      }
      return session
    }
    for layer in 0..<layerCount {
      let modulation = try modulation(of: layer, for: inputs, on: device)
      for (index, stage) in stages(of: layer).enumerated() {
        let session = try session(reading: stage.reads)
        try run(stage: index, of: layer, session, modulation, row: row, on: device)
        let results = matrices(of: session)
        for place in stage.writes { try device.copy(results[place], to: kept[place]) }
      }
    }
    let blank = latents.with(Array(repeating: .nan, count: latents.values.count))
    return try project(
      blank, try session(reading: [0]), try finalModulation(for: inputs, on: device), row: row,
      on: device)
  }

  private func spoil(_ matrix: Matrix, on device: any ComputeDevice) throws {
    try device.write(
      Array(repeating: .nan, count: matrix.rows * matrix.columns), to: matrix)
  }

  /// Multiplications and additions of all products of a layer, for one branch.
  package func stagedWork(
    of layer: Int, _ prompt: Conditioning, inputs: Matrix, size: LatentSize,
    on device: RehearsalDevice
  ) throws -> Double {
    let session = try stageSession(prompt, size: size, on: device)
    let modulation = try modulation(of: layer, for: inputs, on: device)
    let before = device.work.products
    for stage in stages(of: layer).indices {
      try run(stage: stage, of: layer, session, modulation, row: 0, on: device)
    }
    return device.work.products - before
  }
}
