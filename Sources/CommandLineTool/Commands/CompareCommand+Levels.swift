import ArgumentParser
import Checkpoints
import Comparison
import ComputeCPU
import Conversion
import ModelFiles
import TextToImage

/// The levels that `compare` is asked for.
extension CompareCommand {
  func referenceLevel(_ names: LevelNames) throws -> ComparisonLevel {
    let path = try reference ?? ShippedModel.path()
    return ComparisonLevel(
      name: names.unique(for: path), kind: .reference, paths: paths(path), hints: parts.hints(),
      activations: precision.activations)
  }

  func modelLevels(_ names: LevelNames) -> [ComparisonLevel] {
    models.map { path in
      ComparisonLevel(
        name: names.unique(for: path), kind: .level, paths: paths(path), hints: parts.hints(),
        activations: precision.activations)
    }
  }

  func typeLevels(
    _ reference: ComparisonLevel, _ names: LevelNames, _ importance: ImportanceMatrix?,
    _ session: CompareSession
  ) async throws -> [ComparisonLevel] {
    let made = try madeLevels()
    guard !made.isEmpty else { return [] }
    let texts = calibration.isUsed ? try calibration.texts(session.console) : []
    func calibrating(_ folder: String) -> CalibrationSession? {
      guard calibration.isUsed else { return nil }
      return CalibrationSession(
        console: session.console, interruption: session.interruption, pool: session.pool,
        options: calibration, prompts: texts, quality: quality, allowsNotFinite: false,
        threads: common.threads, memory: memory.memory.budget, paths: reference.paths,
        hints: reference.hints, folder: calibration.calibrationFolder ?? folder)
    }
    let maker = try LevelMaker(
      from: reference, session.store, importance: importance,
      calibration: calibrating("")?.metadata, quality: quality)
    try maker.checkSpace(for: made)
    let isMixed = Set(made.map(\.rounding)).count > 1
    var levels: [ComparisonLevel] = []
    for level in made {
      let name = level.mix.name + (isMixed ? " \(level.rounding.rawValue)" : "")
      levels.append(
        try await session.convert(
          maker, level, name: names.unique(for: name), calibration: calibrating))
    }
    return levels
  }

  /// The reference with arithmetic that should not matter: activations of the other precision where
  /// weights are quantized, else noise that differs by one unit in the last place.
  func noiseFloorLevel(
    _ reference: ComparisonLevel, _ names: LevelNames
  ) throws -> ComparisonLevel {
    let source = try ConversionSource(
      .denoiser, paths: reference.paths, hints: reference.hints, in: .known)
    let isQuantized = source.tensors.contains { $0.type.isBlockQuantized }
    let other: ActivationPrecision = precision.activations == .exact ? .auto : .exact
    return ComparisonLevel(
      name: names.unique(for: "rounding"), kind: .noiseFloor, paths: reference.paths,
      hints: reference.hints, activations: isQuantized ? other : precision.activations)
  }

  private func paths(_ model: String) -> ModelPaths {
    var paths = parts.paths(model: model)
    paths.access = memory.io
    return paths
  }

  // MARK: Arguments

  /// The types, rounded in each way.
  func madeLevels() throws -> [MadeLevel] {
    let roundings = try roundings()
    return try mixes().flatMap { mix in roundings.map { MadeLevel(mix, $0) } }
  }

  private func roundings() throws -> [LevelRounding] {
    guard let rounding else {
      let named: [LevelRounding] =
        (imatrix == nil ? [] : [.imatrix]) + (calibration.isUsed ? [.calibrated] : [])
      return named.isEmpty ? [.plain] : named
    }
    var roundings: [LevelRounding] = []
    for text in rounding.split(separator: ",") {
      let name = text.trimmingCharacters(in: .whitespaces).lowercased()
      guard let rounding = LevelRounding(rawValue: name) else {
        throw ValidationError(
          "--rounding: '\(name)' is not one of "
            + LevelRounding.allCases.map(\.rawValue).joined(separator: ", "))
      }
      if !roundings.contains(rounding) { roundings.append(rounding) }
    }
    guard !roundings.isEmpty else { throw ValidationError("--rounding names no way") }
    for (way, isThere, option) in [
      (LevelRounding.imatrix, imatrix != nil, "--imatrix FILE"),
      (.calibrated, calibration.isUsed, "--calibrate PROMPTS"),
    ] where roundings.contains(way) != isThere {
      throw ValidationError(
        isThere
          ? "\(option) has no use with --rounding \(rounding)"
          : "--rounding \(way.rawValue) needs \(option)")
    }
    return roundings
  }

  private func mixes() throws -> [TypeMix] {
    var mixes: [TypeMix] = []
    for name in (types ?? "").split(separator: ",", omittingEmptySubsequences: true) {
      let name = name.trimmingCharacters(in: .whitespaces)
      guard let mix = TypeMix(named: name) else {
        throw ValidationError(
          "--types: '\(name)' is not one of " + TypeMix.all.map(\.name).joined(separator: ", "))
      }
      if !mixes.contains(mix) { mixes.append(mix) }
    }
    if types != nil, mixes.isEmpty { throw ValidationError("--types names no type") }
    return mixes
  }

  func seedList() throws -> [UInt64] {
    var seeds: [UInt64] = []
    for text in self.seeds.split(separator: ",") {
      guard let seed = UInt64(text.trimmingCharacters(in: .whitespaces)) else {
        throw ValidationError("--seeds: '\(text)' is not an integer of at least 0")
      }
      if !seeds.contains(seed) { seeds.append(seed) }
    }
    guard !seeds.isEmpty else { throw ValidationError("--seeds names no seed") }
    return seeds
  }
}
