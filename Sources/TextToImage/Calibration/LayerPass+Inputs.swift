import Compute
import Diffusion

/// What enters products of a stage.
extension LayerPass {
  func rows(
    of group: ProductGroup, in layer: Int, stage: Int, place: Int
  ) throws(GenerationError) -> ProductRows {
    try computing { () throws(ComputeError) in
      let exact = try entering(group, layer, stage, place, .exact)
      guard streams.count > 1 else {
        return ProductRows(inputs: exact.rows, differences: nil)
      }
      let rounded = try entering(group, layer, stage, place, .rounded)
      var differences = exact.rows
      for index in differences.indices { differences[index] -= rounded.rows[index] }
      if group.takesProducts, let weight = exact.weights.first {
        differences = try products(differences, group.columns, by: weight)
      }
      return ProductRows(inputs: rounded.rows, differences: differences)
    }
  }

  /// What enters a group at a place.
  private struct Entering {
    /// `[count, columns]`, times the roots of the rows' weights.
    var rows: [Float] = []
    /// The group's weights, or the first rows of those that are multiplied in parts.
    var weights: [WeightMatrix] = []
  }

  private func entering(
    _ group: ProductGroup, _ layer: Int, _ stage: Int, _ place: Int, _ stream: CalibrationStream
  ) throws(ComputeError) -> Entering {
    guard let name = group.weights.first?.name else { return Entering() }
    let names = Set(group.weights.map(\.name))
    let session = try session(place)
    var found = Entering()
    try tap(layer, stage, place, stream, session) { input, products throws(ComputeError) in
      let own = products.map(\.weight).filter { names.contains($0.name) && $0.firstRow == 0 }
      guard !own.isEmpty else { return }
      let made = try self.device.matrix(rows: input.rows, columns: input.columns)
      try self.device.store(input, into: made)
      found = Entering(rows: try self.device.read(made), weights: own)
    }
    let roots = model.denoiser.rowWeights(of: name, in: layer, session).map { $0.squareRoot() }
    let columns = group.columns
    for (row, root) in roots.enumerated() where (row + 1) * columns <= found.rows.count {
      for index in row * columns..<(row + 1) * columns { found.rows[index] *= root }
    }
    return found
  }

  /// Products of rows with a weight.
  private func products(
    _ rows: [Float], _ columns: Int, by weight: WeightMatrix
  ) throws(ComputeError) -> [Float] {
    let count = rows.count / max(1, columns)
    let input = try device.matrix(rows, rows: count, columns: columns)
    let result = try device.matrix(rows: count, columns: weight.rows)
    try device.multiply(input, by: weight, into: result)
    return try device.read(result)
  }

  /// Places at which errors of activations are measured.
  private static var measuredPlaces: Int { 4 }

  func activationErrors(
    of group: ProductGroup, in layer: Int, stage: Int,
    _ round: (_ rows: [Float], _ columns: Int) -> [[Float]]
  ) throws(GenerationError) -> [String: [Double]] {
    try computing { () throws(ComputeError) in
      var squares: [String: (errors: [Double], products: Double)] = [:]
      func square(_ values: [Float]) -> Double {
        values.reduce(0) { $0 + Double($1) * Double($1) }
      }
      let count = min(Self.measuredPlaces, places.count)
      for index in 0..<count {
        let place = index * places.count / count
        let entering = try entering(group, layer, stage, place, .exact)
        let changes = round(entering.rows, group.columns)
        for weight in entering.weights {
          var sums = squares[weight.name] ?? (changes.map { _ in 0 }, 0)
          sums.products += square(try products(entering.rows, group.columns, by: weight))
          for (index, change) in changes.enumerated() {
            sums.errors[index] += square(try products(change, group.columns, by: weight))
          }
          squares[weight.name] = sums
        }
      }
      return squares.mapValues { sums in
        sums.errors.map { sums.products > 0 ? ($0 / sums.products).squareRoot() : 0 }
      }
    }
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
}
