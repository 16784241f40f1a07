import Checkpoints
import Compute
import Diffusion
import Images
import ModelCatalog
import ModelFiles

/// What the encoding of a picture needs, before all other stages.
struct EncoderDemand {
  let stage: WeightStage
  /// What is there beside the encoder's activations: the picture and its values.
  let heldBytes: Int
  /// Most bytes that encoding takes within a bound.
  let activations: (_ limit: Int?) throws(ComputeError) -> Int

  /// What activations may take of some memory.
  func limit(within bytes: Int) -> Int {
    max(0, bytes - stage.weights.largestLayerBytes - heldBytes)
  }
}

extension WeightStage {
  /// The stage of an encoder.
  init(encoding encoder: any LatentEncoder) { self.init("encoder", encoder.weights) }
}

extension Pipeline {
  /// What makes latents of pictures: a file named for it, or the other half of the decoder.
  ///
  /// - Throws: `ModelFileError` if there is none, or for the first of its tensors that is missing
  ///   or misshapen.
  static func encoder(
    _ paths: ModelPaths, _ hints: ArchitectureHints, _ sources: ModelSources,
    _ codec: any LatentCodec
  ) throws(ModelFileError) -> any LatentEncoder {
    guard let path = paths.encoder else {
      if let encoder = try codec.openEncoder() { return encoder }
      throw ModelFileError(
        path: paths.parts["tae"] ?? paths.parts["vae"] ?? sources.files.first ?? "model",
        kind: .unsupported,
        fault: "the autoencoder is a decoder alone, which makes no latents of pictures: name its "
          + "encoder with --vae-encoder")
    }
    let encoder = try FamilyCatalog.known.encoder(at: path, for: sources, hints: hints)
    guard encoder.latentChannels == codec.latentChannels, encoder.downscaling == codec.upscaling
    else {
      throw ModelFileError(
        path: path, kind: .malformed,
        fault: "makes latents of \(encoder.latentChannels) channels at 1/\(encoder.downscaling) of "
          + "the picture's size, the decoder takes \(codec.latentChannels) at "
          + "1/\(codec.upscaling)")
    }
    return encoder
  }

  /// Checks that pictures can be encoded.
  ///
  /// - Throws: `ModelFileError` if the model's files hold no encoder, or a damaged one.
  public func expectEncoder() throws(ModelFileError) { _ = try encoder.get() }

  /// The encoder's part in a plan; nil where no picture is encoded.
  func encoderDemand<Model>(of request: PreparedRequest<Model>) -> EncoderDemand? {
    guard request.startsFromPicture, let encoder = try? encoder.get() else { return nil }
    return encoderDemand(encoder, request.size)
  }

  func encoderDemand(_ encoder: any LatentEncoder, _ size: LatentSize) -> EncoderDemand {
    let pixels = size.height * size.width * encoder.downscaling * encoder.downscaling
    return EncoderDemand(
      stage: WeightStage(encoding: encoder), heldBytes: 15 * pixels,
      activations: { (bytes) throws(ComputeError) in
        try self.rehearsals.decoding(.init(isEncoding: true, size: size, bytes: bytes)) {
          () throws(ComputeError) in
          try encoder.activationBytes(size, within: bytes, on: self.device())
        }
      })
  }

  /// Requests as a run takes them, and the pictures that they start from, each once.
  ///
  /// - Throws: `GenerationError.invalidRequest` for one that cannot be met.
  func runRequests<Model: DiffusionModel>(
    _ model: Model, _ requests: ArraySlice<GenerationRequest>
  ) throws(GenerationError) -> (requests: [RunRequest<Model>], starts: [RunStart]) {
    var starts: [RunStart] = []
    func start(_ request: GenerationRequest, _ settings: GenerationSettings) -> Int? {
      guard let picture = request.picture else { return nil }
      let start = RunStart(picture: picture, width: settings.width, height: settings.height)
      if let known = starts.firstIndex(of: start) { return known }
      starts.append(start)
      return starts.count - 1
    }
    var prepared: [RunRequest<Model>] = []
    for (index, request) in zip(requests.indices, requests) {
      let settings = try settings(for: request)
      prepared.append(
        RunRequest(
          index: index, prepared: PreparedRequest(model, settings),
          images: request.images ?? Array(settings.seeds.indices), latents: InitialLatents(request),
          start: start(request, settings), unfinished: request.unfinished))
    }
    return (prepared, starts)
  }

  func openedEncoder() throws(GenerationError) -> any LatentEncoder {
    do throws(ModelFileError) {
      return try encoder.get()
    } catch {
      throw .invalidRequest(error.description)
    }
  }

  // MARK: Validation

  /// Width and height of a request, as it says or after the picture that it starts from: of the
  /// same shape, and not larger than the model's usual one.
  func sides(of request: GenerationRequest) -> (width: Int, height: Int) {
    let own = (width: request.width ?? defaults.width, height: request.height ?? defaults.height)
    guard let image = request.picture?.image, image.width > 0, image.height > 0 else { return own }
    let (width, height) = (Double(image.width), Double(image.height))
    func rounded(_ side: Double) -> Int {
      let count = Int((min(side, Double(largestSide)) / Double(sizeMultiple)).rounded())
      return max(1, count) * sizeMultiple
    }
    switch (request.width, request.height) {
    case (nil, nil):
      let usual = Double(defaults.width) * Double(defaults.height)
      let scale = min(1, (usual / (width * height)).squareRoot())
      return (rounded(width * scale), rounded(height * scale))
    case (let given?, nil): return (given, rounded(Double(given) * height / width))
    case (nil, let given?): return (rounded(Double(given) * width / height), given)
    default: return own
    }
  }

  /// The levels that are left of a schedule: all, or those from where a picture's noise is added.
  ///
  /// As in the reference, the share of the steps is rounded up to whole ones.
  func levels(
    of request: GenerationRequest, all sigmas: [Float]
  ) throws(GenerationError) -> [Float] {
    guard let picture = request.picture else { return sigmas }
    guard request.latents == nil else {
      throw .invalidRequest("initial latents and a picture to start from contradict each other")
    }
    guard picture.strength > 0, picture.strength <= 1 else {
      throw .invalidRequest("strength \(picture.strength) is not above 0 and up to 1")
    }
    guard picture.mask != nil || !picture.keepsUnmasked else {
      throw .invalidRequest("unmasked pixels can be kept only where there is a mask")
    }
    guard (0...StartPicture.maximumMaskBlur).contains(picture.maskBlur) else {
      throw .invalidRequest(
        "mask blur \(picture.maskBlur) is outside of 0...\(StartPicture.maximumMaskBlur)")
    }
    _ = try openedEncoder()
    let steps = Double(sigmas.count - 1)
    let first = Int(max(steps - min(steps * picture.strength, steps), 0))
    return Array(sigmas[min(first, sigmas.count - 2)...])
  }
}
