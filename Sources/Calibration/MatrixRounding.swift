import BitAllocation
import BlockFormats
import Checkpoints
import Conversion
import Machine
import ModelFiles
import Quantization

/// Rounds matrices for what enters them, to the types of a plan, into files of their own.
struct MatrixRounding: Sendable {
  /// What matrices lost, by our names.
  struct Outcome: Sendable {
    /// Relative errors of products.
    var productErrors: [String: Double] = [:]
    /// Relative squared errors with each type, if they were asked for.
    var typeErrors: [String: [ElementType: Double]] = [:]
    /// What activations of 8 bits would add to products, relative to them, with scales for 32 and
    /// for 256 columns.
    var activationErrors: [String: [Double]] = [:]

    /// Errors of products, of the matrices of which all are known.
    var errors: [String: ProductErrors] {
      productErrors.reduce(into: [:]) { errors, product in
        guard let activations = activationErrors[product.key], activations.count == 2 else {
          return
        }
        errors[product.key] = ProductErrors(
          weights: product.value, activations32: activations[0], activations256: activations[1])
      }
    }

    /// Takes what others lost.
    mutating func add(_ other: Outcome) {
      productErrors.merge(other.productErrors) { $1 }
      typeErrors.merge(other.typeErrors) { $1 }
      activationErrors.merge(other.activationErrors) { $1 }
    }
  }

  let options: CalibrationRun.Options
  let plan: ConversionPlan
  /// What enters the modulation.
  let modulation: ModulationInputs?
  let pool: ThreadPool
  /// The tensors that are rounded, by our names.
  let tensors: [String: ConversionPlan.Tensor]
  /// The place of the network that denoises.
  var denoiser: Slot { plan.family.denoiser }
  /// Whether text encoders have matrices to round.
  var roundsTexts: Bool { tensors.values.contains { $0.source.part != denoiser } }

  init(
    _ options: CalibrationRun.Options, _ plan: ConversionPlan, _ modulation: ModulationInputs?,
    on pool: ThreadPool
  ) {
    self.options = options
    self.plan = plan
    self.modulation = modulation
    self.pool = pool
    tensors = Dictionary(
      plan.tensors.filter(\.isRounded).map { ($0.source.name, $0) }, uniquingKeysWith: { $1 })
  }

  /// The order of columns that suits matrices.
  func order(of names: [String]) -> RoundingOrder {
    options.measuresTypes ? .any : RoundingOrder(for: names.compactMap { tensors[$0]?.type })
  }

  /// The layer that a matrix is of, as a text.
  func layerName(of name: String) -> String {
    guard let layer = tensors[name]?.source.match.layer else { return name }
    return "\(tensors[name]?.source.part.option ?? "") \(layer.stack) \(layer.number)"
  }

  /// Rounds matrices that the same rows enter.
  ///
  /// - Parameters:
  ///   - names: our names of the matrices.
  ///   - inputs: what enters them; nil for the modulation, of which that is known.
  ///   - path: the file that they go to.
  /// - Returns: what they lost; nil if none of them is rounded, and there is no file.
  /// - Throws: `ModelFileError`, `ConversionError`, `ComputeError`.
  func round(
    _ names: [String], _ inputs: LinearInputs?, to path: String
  ) throws -> Outcome? {
    let chosen = names.compactMap { tensors[$0] }
    guard !chosen.isEmpty else { return nil }
    var outcome = Outcome()
    if let inputs, options.measuresTypes { outcome.typeErrors = try typeErrors(chosen, inputs) }
    var conversion = ConversionOptions()
    conversion.quality = options.quality
    conversion.allowsNotFinite = options.allowsNotFinite
    if let inputs {
      conversion.inputs = { _, columns in columns == inputs.columns ? inputs : nil }
    } else if let modulation {
      conversion.use(modulation)
    }
    let overlay = try ConversionPlan(
      overlay: chosen.map { (source: $0.source, type: $0.type) }, of: plan, path: path)
    let outcomes = try Converter.write(
      overlay, to: path, overwrite: true, options: conversion, on: pool, progress: { _, _ in })
    for tensor in outcomes {
      outcome.productErrors[tensor.name] = tensor.productError
      if inputs == nil { outcome.activationErrors[tensor.name] = modulation?.activationErrors }
    }
    return outcome
  }

  /// What each type would lose of matrices.
  private func typeErrors(
    _ chosen: [ConversionPlan.Tensor], _ inputs: LinearInputs
  ) throws -> [String: [ElementType: Double]] {
    let rounding = RoundingErrors(
      importance: nil, inputs: { _, columns in columns == inputs.columns ? inputs : nil },
      quality: options.quality, on: pool)
    var found: [String: [ElementType: Double]] = [:]
    for tensor in chosen {
      let types = RoundingErrors.types(for: tensor)
      let errors = try rounding.errors(of: tensor, as: types)
      found[tensor.source.name] = Dictionary(zip(types, errors), uniquingKeysWith: { $1 })
    }
    return found
  }

  /// By how much rows change as activations of 8 bits.
  static func activationChanges(_ rows: [Float], _ columns: Int) -> [[Float]] {
    let widths = ActivationNoise.widths
    return [widths.narrow, widths.wide].map {
      ActivationNoise.errors(rows, columns: columns, width: $0)
    }
  }

  /// The error about inputs that cannot be added up.
  static func notFinite(_ name: String) -> ConversionError {
    .unusable(
      "--calibrate: what enters '\(name)' is not finite; the weights are damaged, or their type "
        + "cannot hold them")
  }
}
