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
  let streams: [CalibrationStream]
  /// Latents of the points.
  var latents: [Latents] = []
  /// `[places, columns]`.
  var modulationInputs: Matrix?
  /// By stream.
  var networks: [Network]
  var modulations: [Network.LayerModulation?]

  /// - Parameters:
  ///   - model: the model.
  ///   - requests: of the points.
  ///   - hasTargets: whether there is a stream of rounded weights.
  ///   - device: where to compute.
  ///   - scratch: makes the file for rows of given sizes.
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

  func state() throws(GenerationError) -> (latents: [[Float]], modulationInputs: [Float]) {
    guard let modulationInputs else { return (latents.map(\.values), []) }
    let inputs = try computing { () throws(ComputeError) in try device.read(modulationInputs) }
    return (latents.map(\.values), inputs)
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

  // MARK: Between stages

  func session(
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
  func parity(_ layer: Int, before stage: Int) -> Int {
    let isWritten = model.denoiser.stages(of: layer).prefix(stage).contains {
      $0.writes.contains(0)
    }
    return isWritten ? layer + 1 : layer
  }

  func load(
    _ session: Network.Session, _ indices: [Int], of place: Int, _ stream: CalibrationStream,
    parity: Int
  ) throws(ComputeError) {
    let matrices = model.denoiser.matrices(of: session)
    for index in indices {
      try device.write(
        try scratch.read(index, of: place, stream.rawValue, parity: parity), to: matrices[index])
    }
  }

  func save(
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
