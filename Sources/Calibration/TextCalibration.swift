import LinearAlgebra
import Machine
import Quantization
import Synchronization

/// Rounds the matrices of text encoders for what enters them: prompts pass through a layer before
/// the next one, and when that begins the matrices of the one before are rounded.
///
/// There is one stream only, and no targets.
final class TextCalibration: Sendable {
  /// Inputs of matrices that they enter together.
  private struct Group {
    let names: [String]
    let columns: Int
    /// Rows until there are enough to tell the sizes of columns.
    var sample: [Float] = []
    var moments: InputMoments?
    var count = 0
    /// Squares of what rounding to 8 bits changes, with scales for 32 and for 256 columns, and of
    /// the rows.
    var changes = [0.0, 0.0]
    var square = 0.0
  }

  private struct State {
    var layer = ""
    var groups: [Group] = []
    var fault: (any Error)?
    var files = 0
    var outcome = MatrixRounding.Outcome()
  }

  /// Rows from which the sizes of columns are told.
  private static let sampleRows = 256

  private let rounding: MatrixRounding
  private let store: CalibrationStore
  private let library: OpenBLAS
  private let state = Mutex(State())

  /// - Parameters:
  ///   - rounding: what matrices become, on other threads than those that encode.
  ///   - store: where they go.
  ///   - library: what to compute with.
  init(_ rounding: MatrixRounding, _ store: CalibrationStore, _ library: OpenBLAS) {
    self.rounding = rounding
    self.store = store
    self.library = library
  }

  /// Takes rows that enter weights.
  func add(_ names: [String], _ rows: [Float], _ columns: Int) throws(ComputeError) {
    let known = names.filter { rounding.tensors[$0] != nil }
    guard let first = known.first else { return }
    try failing { state in
      let layer = rounding.layerName(of: first)
      if layer != state.layer { try finish(&state) }
      state.layer = layer
      let index =
        state.groups.firstIndex { $0.names == known }
        ?? {
          state.groups.append(Group(names: known, columns: columns))
          return state.groups.count - 1
        }()
      try add(rows, to: &state.groups[index])
    }
  }

  private func add(_ rows: [Float], to group: inout Group) throws {
    group.count += rows.count / max(1, group.columns)
    for (index, width) in [ActivationNoise.widths.narrow, ActivationNoise.widths.wide].enumerated()
    {
      let squares = ActivationNoise.squares(rows, columns: group.columns, width: width)
      group.changes[index] += squares.error
      if index == 0 { group.square += squares.value }
    }
    if let moments = group.moments { return try moments.add(rows) }
    group.sample += rows
    if group.sample.count >= Self.sampleRows * group.columns { try begin(&group) }
  }

  /// Makes the sums, with the rows so far.
  private func begin(_ group: inout Group) throws {
    let moments = try InputMoments(
      columns: group.columns, order: rounding.order(of: group.names), like: group.sample, library,
      on: rounding.pool)
    try moments.add(group.sample)
    group.moments = moments
    group.sample = []
  }

  /// Rounds the matrices of the last layer.
  ///
  /// - Returns: how many files there are, and what their matrices lost.
  /// - Throws: an error that was kept, or what rounding throws.
  func finish() throws -> (files: Int, outcome: MatrixRounding.Outcome) {
    try state.withLock { state in
      if let fault = state.fault { throw fault }
      try finish(&state)
      return (state.files, state.outcome)
    }
  }

  private func finish(_ state: inout State) throws {
    for var group in state.groups {
      if group.moments == nil { try begin(&group) }
      let damping = Damping.relative(
        rows: group.count, columns: group.columns, hasTargets: false)
      guard let inputs = try group.moments?.inputs(damping: damping) else {
        throw MatrixRounding.notFinite(group.names[0])
      }
      let path = store.textPath(state.files)
      guard var outcome = try rounding.round(group.names, inputs, to: path) else { continue }
      // As if products grew alike whatever enters them.
      let errors = group.changes.map {
        group.square > 0 ? ($0 / group.square).squareRoot() : 0
      }
      for name in group.names { outcome.activationErrors[name] = errors }
      state.files += 1
      state.outcome.add(outcome)
    }
    state.groups = []
  }

  /// Keeps an error that the device cannot pass on.
  private func failing(_ body: (inout State) throws -> Void) throws(ComputeError) {
    let isGood = state.withLock { state in
      guard state.fault == nil else { return false }
      do {
        try body(&state)
        return true
      } catch {
        state.fault = error
        return false
      }
    }
    if !isGood { throw .cancelled }
  }

  /// What was kept, instead of the error that the device passed on.
  func fault(instead error: any Error) -> any Error { state.withLock { $0.fault } ?? error }
}
