import Compute
import Diffusion

/// The way from noise to the points of a calibration: short, through all layers at once.
extension LayerPass {
  func resume(latents: [[Float]], modulationInputs rows: [Float]) throws(GenerationError) {
    self.latents = zip(requests, latents).map { $0.latents($1) }
    modulationInputs = try computing { () throws(ComputeError) in
      try device.matrix(rows, rows: places.count, columns: rows.count / max(1, places.count))
    }
  }

  func findPoints(_ onPass: @escaping (_ places: Int) -> Void) throws(GenerationError) {
    let prompts = try computing { () throws(ComputeError) in
      var prompts: [Network.Conditioning] = []
      for request in requests {
        prompts += try model.conditioner.condition(request.tokens, on: device)
      }
      return prompts
    }
    for stage in model.conditioner.stages { stage.weights.drop() }
    device.releaseMemory()
    latents = requests.map {
      $0.latents(startNoise(seed: $0.settings.seeds[0], count: $0.latentCount))
    }
    let paths = steps.map { CalibrationSettings.path(to: $0) }
    for jump in 0..<CalibrationSettings.pathSteps {
      let moving = places.indices.filter { jump + 1 < paths[places[$0].point].count }
      guard !moving.isEmpty else { break }
      try move(
        moving, prompts, paths.map { $0.count > jump + 1 ? ($0[jump], $0[jump + 1]) : nil }, onPass)
    }
    modulationInputs = try inputs(Array(places.indices), prompts) { self.steps[$0] }
    for place in places.indices {
      try computing { () throws(ComputeError) in
        let session = try session(place, prompts[place])
        try model.denoiser.embed([latents[places[place].point]], session, on: device)
        for stream in streams {
          try save(session, [0], of: place, stream, parity: 0)
        }
      }
    }
  }

  /// Takes some places from a step of their schedules to a later one.
  private func move(
    _ moving: [Int], _ prompts: [Network.Conditioning], _ steps: [(from: Int, to: Int)?],
    _ onPass: @escaping (_ places: Int) -> Void
  ) throws(GenerationError) {
    let network = model.denoiser
    let inputs = try inputs(moving, prompts) { steps[$0]?.from ?? 0 }
    try computing { () throws(ComputeError) in
      for place in moving {
        let session = try session(place, prompts[place])
        try network.embed([latents[places[place].point]], session, on: device)
        try save(session, [0], of: place, .exact, parity: 0)
      }
      for layer in 0..<network.layerCount {
        let modulation = try network.modulation(of: layer, for: inputs, on: device)
        try device.holding(network.stepStage.weights, layer: layer) { () throws(ComputeError) in
          for (row, place) in moving.enumerated() {
            let session = try session(place)
            try load(session, [0], of: place, .exact, parity: 0)
            for stage in network.stages(of: layer).indices {
              try network.run(
                stage: stage, of: layer, session, modulation, row: row, on: device)
            }
            try save(session, [0], of: place, .exact, parity: 0)
          }
        }
        onPass(moving.count)
      }
    }
    try step(moving, inputs, steps)
  }

  /// The predictions of some places, and what a step by them leads to.
  private func step(
    _ moving: [Int], _ inputs: Matrix, _ steps: [(from: Int, to: Int)?]
  ) throws(GenerationError) {
    var velocities: [Int: [Latents]] = [:]
    try computing { () throws(ComputeError) in
      let final = try model.denoiser.finalModulation(for: inputs, on: device)
      for (row, place) in moving.enumerated() {
        let (session, point) = (try session(place), places[place].point)
        try load(session, [0], of: place, .exact, parity: 0)
        velocities[point, default: []].append(
          try model.denoiser.project(latents[point], session, final, row: row, on: device))
      }
    }
    for (point, found) in velocities {
      guard let (from, to) = steps[point] else { continue }
      let velocity = requests[point].guidance.combine(found, atLevel: from)
      let sigmas = requests[point].settings.sigmas
      var moved = [latents[point]]
      advance(&moved, along: velocity, by: sigmas[to] - sigmas[from])
      guard moved[0].isFinite else { throw .notFinite(step: from + 1, of: sigmas.count - 1) }
      latents[point] = moved[0]
    }
  }

  /// What enters the modulation at some places, `[places, columns]`.
  private func inputs(
    _ chosen: [Int], _ prompts: [Network.Conditioning], _ step: (_ point: Int) -> Int
  ) throws(GenerationError) -> Matrix {
    try computing { () throws(ComputeError) in
      var (rows, columns): ([Float], Int) = ([], 0)
      for place in chosen {
        let (point, prompt) = (places[place].point, prompts[place])
        let request = requests[point]
        let found = try model.denoiser.modulationInputs(
          [prompt], times: [request.times[step(point)]], guidance: request.distilledGuidance,
          on: device)
        rows += try device.read(found)
        columns = found.columns
      }
      return try device.matrix(rows, rows: chosen.count, columns: columns)
    }
  }
}
