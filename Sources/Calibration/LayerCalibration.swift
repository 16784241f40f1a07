import Conversion
import Diffusion
import LinearAlgebra
import ModelFiles
import Quantization
import TextToImage

/// The work of a calibration on one layer of the denoiser.
struct LayerCalibration {
  private let rounding: MatrixRounding
  private let store: CalibrationStore
  private let pass: any LayerPassing
  private let library: OpenBLAS
  private let meter: WorkMeter
  private let layer: Int
  private let open: (_ overlays: [String]) throws(ModelFileError) -> any Denoiser

  /// Places from whose rows the sizes of columns are told, before all have been seen.
  private static let samplePlaces = 4

  init(
    _ layer: Int, _ pass: any LayerPassing, _ rounding: MatrixRounding, _ store: CalibrationStore,
    _ library: OpenBLAS, _ meter: WorkMeter,
    open: @escaping (_ overlays: [String]) throws(ModelFileError) -> any Denoiser
  ) {
    self.layer = layer
    self.pass = pass
    self.rounding = rounding
    self.store = store
    self.library = library
    self.meter = meter
    self.open = open
  }

  private var hasTargets: Bool { rounding.options.hasTargets }

  /// Rounds all matrices of the layer and takes the points through it.
  func run(_ state: inout CalibrationStore.State) throws {
    var files: [String] = []
    func round(_ names: [String], _ inputs: LinearInputs?) throws {
      let path = store.matrixPath(layer: layer, files.count)
      guard let outcome = try rounding.round(names, inputs, to: path) else { return }
      files.append(path)
      state.add(outcome)
    }
    meter.begin("modulation", in: layer, done: 0)
    try round(try pass.modulationNames(of: layer), nil)
    try pass.begin(layer, .exact)
    try takeRounded(files)
    let stages = pass.stageCount(of: layer)
    for stage in 0..<stages {
      let groups = try pass.groups(of: layer, stage: stage)
      for (index, group) in groups.enumerated() {
        let names = group.weights.map(\.name).filter { rounding.tensors[$0] != nil }
        guard !names.isEmpty else { continue }
        let share = Double(index) / Double(groups.count)
        meter.begin(names[0], in: layer, done: (Double(stage) + share) / Double(stages))
        try round(names, try inputs(of: group, stage))
        // A trial ends with the choice of types.
        guard !rounding.options.measuresTypes else { continue }
        var activations = MatrixRounding.Outcome()
        activations.activationErrors = try pass.activationErrors(
          of: group, in: layer, stage: stage, MatrixRounding.activationChanges)
        state.add(activations)
      }
      try takeRounded(files)
      // Nothing reads what the last one leaves.
      if layer + 1 == pass.layerCount, stage + 1 == stages { break }
      try pass.run(stage: stage, of: layer, .exact)
      if hasTargets { try pass.run(stage: stage, of: layer, .rounded) }
    }
    state.layers.append(files.count)
  }

  /// Lets the rounded stream go through what was rounded so far. Layers before this one are behind
  /// it.
  private func takeRounded(_ files: [String]) throws {
    guard hasTargets else { return }
    pass.replaceRounded(by: try open(files))
    try pass.begin(layer, .rounded)
  }

  /// Adds up what enters a group.
  private func inputs(of group: ProductGroup, _ stage: Int) throws -> LinearInputs {
    func rows(_ place: Int) throws -> ProductRows {
      try pass.rows(of: group, in: layer, stage: stage, place: place)
    }
    var sample: [Float] = []
    let count = min(Self.samplePlaces, pass.placeCount)
    for index in 0..<count { sample += try rows(index * pass.placeCount / count).inputs }
    let moments = try InputMoments(
      columns: group.columns, order: rounding.order(of: group.weights.map(\.name)), like: sample,
      targets: try targets(for: group), library, on: rounding.pool)
    sample = []
    for place in 0..<pass.placeCount {
      let rows = try rows(place)
      try moments.add(rows.inputs, differences: rows.differences)
    }
    let damping = Damping.relative(
      rows: group.rows, columns: group.columns, hasTargets: hasTargets)
    guard let inputs = try moments.inputs(damping: damping) else {
      throw MatrixRounding.notFinite(group.weights[0].name)
    }
    return inputs
  }

  /// What weights of a group are moved by.
  private func targets(for group: ProductGroup) throws -> RoundingTargets? {
    guard hasTargets else { return nil }
    let (columns, pool) = (group.columns, rounding.pool)
    return group.takesProducts
      ? try .products(rows: group.outputs, columns: columns, library, on: pool)
      : try .moments(columns: columns, library, on: pool)
  }
}
