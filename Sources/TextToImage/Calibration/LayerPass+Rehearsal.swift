import Compute
import Diffusion

/// What is known of places and layers without computing anything.
extension LayerPass {
  func groups(of layer: Int, stage: Int) throws(GenerationError) -> [ProductGroup] {
    try computing { () throws(ComputeError) in
      let rehearsal = RehearsalDevice(of: device)
      var groups: [ProductGroup] = []
      for place in places.indices {
        let session = try session(place, on: rehearsal)
        // What the place brings to each group.
        try rehearse(layer, stage, place, session, on: rehearsal) { input, products in
          for group in self.groups(layer, input, products, session) {
            if let known = groups.firstIndex(where: { $0.isSame(as: group) }) {
              groups[known].add(rows: input.rows)
            } else {
              groups.append(group)
            }
          }
        }
      }
      return groups
    }
  }

  /// The weights of some products, by how the rows that enter them count.
  private func groups(
    _ layer: Int, _ input: ProductInput, _ products: [Product], _ session: Network.Session
  ) -> [ProductGroup] {
    var found: [(counts: [Float], weights: [ProductGroup.Weight])] = []
    for product in products where product.weight.firstRow == 0 {
      let weight = product.weight
      let counts = model.denoiser.rowWeights(of: weight.name, in: layer, session)
      let bytes = weight.segments.reduce(0) { $0 + $1.storage.byteCount }
      let member = ProductGroup.Weight(name: weight.name, rows: weight.rows, byteCount: bytes)
      if let index = found.firstIndex(where: { $0.counts == counts }) {
        found[index].weights.append(member)
      } else {
        found.append((counts, [member]))
      }
    }
    return found.map {
      var group = ProductGroup(weights: $0.weights, columns: input.columns)
      group.add(rows: input.rows)
      return group
    }
  }

  /// Runs a stage on a device that only keeps account.
  private func rehearse(
    _ layer: Int, _ stage: Int, _ place: Int, _ session: Network.Session,
    on rehearsal: RehearsalDevice, _ listener: @escaping ProductTap.Listener
  ) throws(ComputeError) {
    let modulation = try modulation(of: layer, place, on: rehearsal)
    try model.denoiser.run(
      stage: stage, of: layer, session, modulation, row: 0,
      on: ProductTap(of: rehearsal, listener))
  }

  private func modulation(
    of layer: Int, _ place: Int, on rehearsal: RehearsalDevice
  ) throws(ComputeError) -> Network.LayerModulation {
    let (request, network) = (requests[places[place].point], model.denoiser)
    let inputs = try network.modulationInputs(
      [places[place].outline], times: [request.times[0]], guidance: request.distilledGuidance,
      on: rehearsal)
    return try network.modulation(of: layer, for: inputs, on: rehearsal)
  }

  var runBytes: Int {
    let peaks = places.indices.map { place -> Int in
      let rehearsal = RehearsalDevice(of: device)
      let bytes = try? rehearsal.peakBytes { () throws(ComputeError) in
        let session = try session(place, on: rehearsal)
        for layer in layerKinds {
          let modulation = try modulation(of: layer, place, on: rehearsal)
          for stage in 0..<stageCount(of: layer) {
            try model.denoiser.run(
              stage: stage, of: layer, session, modulation, row: 0, on: rehearsal)
          }
        }
      }
      return bytes ?? .max >> 2
    }
    // Values on their way to and from the file.
    return (peaks.max() ?? 0) + 2 * scratch.largestMatrixBytes
  }

  var modulationRowBytes: Int {
    layerKinds.map { layer in
      let rehearsal = RehearsalDevice(of: device)
      guard let vectors = try? modulation(of: layer, 0, on: rehearsal) else { return 0 }
      // Without the workspace of products, which does not grow with the rows.
      rehearsal.releaseMemory()
      return withExtendedLifetime(vectors) { (try? rehearsal.peakBytes {}) ?? 0 }
    }.max() ?? 0
  }

  /// The first layer of each stack: those of a stack are alike.
  private var layerKinds: [Int] {
    var first = 0
    return model.denoiser.layerCounts.compactMap { count in
      defer { first += count }
      return count > 0 ? first : nil
    }
  }

  var textBytes: Int {
    promptBytes().peak
      + (model.conditioner.stages.map(\.weights.largestLayerBytes).max() ?? 0)
  }

  var pathBytes: Int {
    promptBytes().held + runBytes + model.denoiser.stepStage.weights.largestLayerBytes
  }

  /// Bytes while the prompts of all points are encoded, and of what comes of it.
  private func promptBytes() -> (peak: Int, held: Int) {
    let rehearsal = RehearsalDevice(of: device)
    var prompts: [[Network.Conditioning]] = []
    do throws(ComputeError) {
      let peak = try rehearsal.peakBytes { () throws(ComputeError) in
        for request in requests {
          prompts.append(try model.conditioner.condition(request.tokens, on: rehearsal))
        }
      }
      rehearsal.releaseMemory()
      return (peak, try rehearsal.peakBytes {})
    } catch {
      return (.max >> 2, .max >> 2)
    }
  }
}
