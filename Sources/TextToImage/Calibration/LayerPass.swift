import Compute
import Diffusion
import Machine
import ModelFiles

/// `LayerPassing` for a family's model.
final class LayerPass<Model: LayeredModel>: LayerPassing {
  typealias Network = Model.Network

  /// A prompt at a noise level, in one branch of guidance.
  struct Place {
    let point: Int
    let branch: Int
    /// The prompt's shape.
    let outline: Network.Conditioning
  }

  let model: Model
  let device: any ComputeDevice
  let requests: [PreparedRequest<Model>]
  /// The step of each request's schedule at which its point lies.
  let steps: [Int]
  var places: [Place] = []
  let scratch: LayerScratch
  private let streams: [CalibrationStream]
  /// Latents of the points.
  private var latents: [Latents] = []
  /// `[places, columns]`.
  private var modulationInputs: Matrix?
  /// By stream.
  private var networks: [Network]
  private var modulations: [Network.LayerModulation?]

  /// - Parameters:
  ///   - model: the model.
  ///   - requests: of the points.
  ///   - scratch: makes the file for rows of given sizes.
  ///   - hasTargets: whether there is a stream of rounded weights.
  ///   - device: where to compute.
  /// - Throws: `GenerationError` if there is no place for the scratch file.
  init(
    _ model: Model, _ requests: [PreparedRequest<Model>], hasTargets: Bool,
    on device: any ComputeDevice,
    scratch: (_ byteCount: Int) throws(ModelFileError) -> ScratchFile
  ) throws(GenerationError) {
    self.model = model
    self.device = device
    self.requests = requests
    streams = hasTargets ? CalibrationStream.allCases : [.exact]
    networks = streams.map { _ in model.denoiser }
    modulations = streams.map { _ in nil }
    steps = requests.indices.map {
      CalibrationSettings.step(of: $0, of: requests[$0].settings.steps)
    }
    let shapes = try Self.shapes(model, requests, on: device)
    places = shapes.map { Place(point: $0.point, branch: $0.branch, outline: $0.outline) }
    self.scratch = try failing { () throws(ModelFileError) in
      try LayerScratch(
        matrices: shapes.map(\.matrices), streams: hasTargets ? 2 : 1, makeFile: scratch)
    }
    for stage in model.stages { stage.weights.keep(atMost: 0) }
  }

  /// The places of all points and the sizes of their matrices, found out without computing.
  private static func shapes(
    _ model: Model, _ requests: [PreparedRequest<Model>], on device: any ComputeDevice
  ) throws(GenerationError) -> [(
    point: Int, branch: Int, outline: Network.Conditioning, matrices: [Int]
  )] {
    try computing { () throws(ComputeError) in
      let rehearsal = RehearsalDevice(of: device)
      var shapes: [(point: Int, branch: Int, outline: Network.Conditioning, matrices: [Int])] = []
      for (point, request) in requests.enumerated() {
        let prompts = try model.conditioner.condition(request.tokens, on: rehearsal)
        for (branch, prompt) in prompts.enumerated() {
          let session = try model.denoiser.stageSession(prompt, size: request.size, on: rehearsal)
          let sizes = model.denoiser.matrices(of: session).map { $0.rows * $0.columns }
          let outline = try model.denoiser.outline(of: prompt, on: device)
          shapes.append((point, branch, outline, sizes))
        }
      }
      return shapes
    }
  }

  var layerCount: Int { model.denoiser.layerCount }
  var placeCount: Int { places.count }
  var scratchBytes: Int { scratch.byteCount }
  var pathPassCount: Int {
    places.reduce(0) { $0 + CalibrationSettings.path(to: steps[$1.point]).count - 1 }
  }

  var state: (latents: [[Float]], modulationInputs: [Float]) {
    (latents.map(\.values), (try? modulationInputs.map { try device.read($0) } ?? []) ?? [])
  }

  // MARK: Points

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
      let velocity = requests[point].guidance.combine(found)
      let sigmas = requests[point].settings.sigmas
      var moved = [latents[point]]
      EulerSampler().step(&moved, 0, sigmas: [sigmas[from], sigmas[to]]) { _, _ in velocity }
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

  // MARK: Layers

  func modulationNames(of layer: Int) throws(GenerationError) -> [String] {
    guard let modulationInputs else { return [] }
    return try computing { () throws(ComputeError) in
      var names: [String] = []
      let tap = ProductTap(of: device) { _, products in names += products.map(\.weight.name) }
      _ = try model.denoiser.modulation(of: layer, for: modulationInputs.rows(0..<1), on: tap)
      return names
    }
  }

  func stageCount(of layer: Int) -> Int { model.denoiser.stages(of: layer).count }

  func replaceRounded(by denoiser: any Denoiser) {
    guard streams.count > 1, let network = denoiser as? Network else { return }
    network.stepStage.weights.keep(atMost: 0)
    networks[CalibrationStream.rounded.rawValue] = network
  }

  func begin(_ layer: Int, _ stream: CalibrationStream) throws(GenerationError) {
    guard let modulationInputs else { return }
    let network = networks[stream.rawValue]
    modulations[stream.rawValue] = try computing { () throws(ComputeError) in
      try network.modulation(of: layer, for: modulationInputs, on: device)
    }
  }

  func run(
    stage: Int, of layer: Int, _ stream: CalibrationStream
  ) throws(GenerationError) {
    let network = networks[stream.rawValue]
    guard let modulation = modulations[stream.rawValue] else { return }
    let part = network.stages(of: layer)[stage]
    try computing { () throws(ComputeError) in
      try device.holding(network.stepStage.weights, layer: layer) { () throws(ComputeError) in
        for place in places.indices {
          let session = try session(place)
          try load(session, part.reads, of: place, stream, parity: parity(layer, before: stage))
          try network.run(
            stage: stage, of: layer, session, modulation, row: place, on: device)
          try save(session, part.writes, of: place, stream, parity: layer + 1)
        }
      }
    }
  }

  func flush() throws(GenerationError) {
    try failing { () throws(ModelFileError) in try scratch.synchronize() }
  }

  // MARK: What enters products

  func rows(
    of group: ProductGroup, in layer: Int, stage: Int, place: Int
  ) throws(GenerationError) -> ProductRows {
    try computing { () throws(ComputeError) in
      let exact = try entering(group, layer, stage, place, .exact)
      guard streams.count > 1 else {
        return ProductRows(inputs: exact.rows, differences: nil, count: exact.count)
      }
      let rounded = try entering(group, layer, stage, place, .rounded)
      var differences = exact.rows
      for index in differences.indices { differences[index] -= rounded.rows[index] }
      if group.takesProducts, let weight = exact.weight {
        let input = try device.matrix(differences, rows: exact.count, columns: group.columns)
        let result = try device.matrix(rows: exact.count, columns: weight.rows)
        try device.multiply(input, by: weight, into: result)
        differences = try device.read(result)
      }
      return ProductRows(inputs: rounded.rows, differences: differences, count: exact.count)
    }
  }

  /// The rows that enter a group, times the roots of their weights, and the group's first weight.
  private func entering(
    _ group: ProductGroup, _ layer: Int, _ stage: Int, _ place: Int, _ stream: CalibrationStream
  ) throws(ComputeError) -> (rows: [Float], count: Int, weight: WeightMatrix?) {
    guard let name = group.weights.first?.name else { return ([], 0, nil) }
    let session = try session(place)
    var (rows, weight): ([Float], WeightMatrix?) = ([], nil)
    try tap(layer, stage, place, stream, session) { input, products throws(ComputeError) in
      for product in products where product.weight.name == name && product.weight.firstRow == 0 {
        let made = try self.device.matrix(rows: input.rows, columns: input.columns)
        try self.device.store(input, into: made)
        rows = try self.device.read(made)
        weight = product.weight
      }
    }
    let roots = model.denoiser.rowWeights(of: name, in: layer, session).map { $0.squareRoot() }
    let columns = group.columns
    for (row, root) in roots.enumerated() where (row + 1) * columns <= rows.count {
      for index in row * columns..<(row + 1) * columns { rows[index] *= root }
    }
    return (rows, rows.count / max(1, columns), weight)
  }

  /// Runs a stage without computing anything, for what enters its products.
  private func tap(
    _ layer: Int, _ stage: Int, _ place: Int, _ stream: CalibrationStream,
    _ session: Network.Session, _ listener: @escaping ProductTap.Listener
  ) throws(ComputeError) {
    let network = networks[stream.rawValue]
    guard let modulation = modulations[stream.rawValue] else { return }
    try load(
      session, network.stages(of: layer)[stage].reads, of: place, stream,
      parity: parity(layer, before: stage))
    let tap = ProductTap(of: device, listener)
    try network.run(stage: stage, of: layer, session, modulation, row: place, on: tap)
  }

  // MARK: Between stages

  private func session(
    _ place: Int, _ prompt: Network.Conditioning? = nil
  ) throws(ComputeError) -> Network.Session {
    try session(place, prompt, on: device)
  }

  /// A session for a place; of its prompt only the shape counts once there are tokens.
  func session(
    _ place: Int, _ prompt: Network.Conditioning? = nil, on device: any ComputeDevice
  ) throws(ComputeError) -> Network.Session {
    try model.denoiser.stageSession(
      prompt ?? places[place].outline, size: requests[places[place].point].size, on: device)
  }

  /// Which of two copies of the tokens a stage reads: those that came into a layer stay as they are
  /// until all places have left it.
  private func parity(_ layer: Int, before stage: Int) -> Int {
    let isWritten = model.denoiser.stages(of: layer).prefix(stage).contains {
      $0.writes.contains(0)
    }
    return isWritten ? layer + 1 : layer
  }

  private func load(
    _ session: Network.Session, _ indices: [Int], of place: Int, _ stream: CalibrationStream,
    parity: Int
  ) throws(ComputeError) {
    let matrices = model.denoiser.matrices(of: session)
    for index in indices {
      try device.write(
        try scratch.read(index, of: place, stream.rawValue, parity: parity), to: matrices[index])
    }
  }

  private func save(
    _ session: Network.Session, _ indices: [Int], of place: Int, _ stream: CalibrationStream,
    parity: Int
  ) throws(ComputeError) {
    let matrices = model.denoiser.matrices(of: session)
    for index in indices {
      try scratch.write(
        try device.read(matrices[index]), index, of: place, stream.rawValue, parity: parity)
    }
  }
}

/// Translates errors of computing.
func computing<Value>(
  _ body: () throws(ComputeError) -> Value
) throws(GenerationError) -> Value {
  do throws(ComputeError) {
    return try body()
  } catch {
    throw GenerationError(error)
  }
}

/// Translates errors of files.
private func failing<Value>(
  _ body: () throws(ModelFileError) -> Value
) throws(GenerationError) -> Value {
  do throws(ModelFileError) {
    return try body()
  } catch {
    throw GenerationError.unreadable(path: error.path, fault: error.fault)
  }
}
